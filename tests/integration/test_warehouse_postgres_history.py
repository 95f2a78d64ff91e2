"""Failovers, restores and crashes of a customer's whole server (warehouse-cdc §4.6, §4.7)."""

import asyncio
import os
import random
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from deploy.local.postgres import Postgres
from deploy.local.postgres import postgres_server as start_postgres
from services.warehouse.postgres.trouble import AWAY
from tests.integration.conftest import PostgresAddress
from tests.integration.customer_database import ROLE, execute, fetch, until
from tests.integration.test_warehouse_postgres import (
    BOTH_MODES,
    OLDER,
    SEED,
    Clinic,
    Reading,
    clinic,
    reading,
    write,
)
from tests.integration.test_warehouse_postgres_trouble import blocked

__all__ = ["clinic", "reading"]

CRASHES = 2
BOTH_VERSIONS = pytest.mark.parametrize("machine", ["18", "15"], indirect=True)


class Machine:
    """A server whose data is copied, promoted and put back while it is down."""

    def __init__(self, server: Postgres, directory: Path) -> None:
        self.server = server
        self._data, self._copy = directory / "data", directory / "copy"

    async def fail_over(self) -> None:
        """To what a standby that had everything becomes: the same system, a higher timeline."""
        self.server.stop()
        _run("cp", "-a", str(self._data), str(self._copy))
        (self._data / "standby.signal").touch()
        self.server.start()
        await execute(self.server.dsn, "select pg_promote()", "checkpoint")

    async def crash(self, away_s: float) -> None:
        """As when the power fails, and back after so long."""
        os.kill(self.server.pid, signal.SIGQUIT)
        await asyncio.sleep(away_s)
        self.server.stop()
        self.server.start()

    def restore(self) -> None:
        """To what it was before the failover."""
        self.server.stop()
        _run("rm", "-r", str(self._data))
        self._copy.rename(self._data)
        self.server.start()


def _run(*command: str) -> None:
    subprocess.run(command, check=True)


@pytest.fixture
def machine(request: pytest.FixtureRequest) -> Iterator[Machine]:
    older = getattr(request, "param", "18") == "15"
    if older and not OLDER.exists():
        pytest.skip("PostgreSQL 15 is not installed here")
    with tempfile.TemporaryDirectory(prefix="afflux-") as name:
        directory = Path(name) / "customer"
        with start_postgres(directory, binaries=OLDER if older else None) as customer:
            yield Machine(customer, directory)


@pytest.fixture
def server(machine: Machine) -> str:
    return machine.server.dsn


@pytest.fixture
async def elsewhere(postgres: PostgresAddress) -> AsyncIterator[Clinic]:
    """Tables of the same names at another system."""
    other = Clinic(postgres.dsn)
    await other.create()
    yield other
    await other.close()
    await execute(postgres.dsn, "drop database shop with (force)", f"drop role if exists {ROLE}")


async def _is_read(reading: Reading) -> None:
    async with reading.source.running() as task:
        await until(reading.is_equal, "the replica equals the table", task)


@BOTH_VERSIONS
async def test_s4_7_after_a_failover_it_goes_on_and_after_a_restore_it_does_not(
    reading: Reading, machine: Machine
) -> None:
    dsn = reading.clinic.dsn
    await execute(dsn, "insert into crm.customers select n, 'gold' from generate_series(1, 9) n")
    await _is_read(reading)
    epochs = {change.epoch for change in reading.changes()}
    await execute(dsn, "update crm.customers set plan = 'iron' where id < 5")
    await machine.fail_over()
    assert await fetch(dsn, "select timeline_id from pg_control_checkpoint()") == [(2,)]
    await execute(dsn, "delete from crm.customers where id = 7")
    await _is_read(reading)
    assert {change.epoch for change in reading.changes()} - epochs <= {None}
    machine.restore()
    assert await blocked(reading) == "history_changed"


async def test_s4_7_another_system_under_the_same_name_blocks(
    reading: Reading, elsewhere: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    await execute(reading.clinic.dsn, "insert into crm.customers values (1, 'gold')")
    await _is_read(reading)
    monkeypatch.setenv("CRM_DSN", elsewhere.reader)
    assert await blocked(reading) == "history_changed"
    assert await fetch(elsewhere.dsn, "select * from pg_replication_slots") == []


@BOTH_VERSIONS
@BOTH_MODES
async def test_s4_6_a_database_that_crashes_at_any_moment_is_read_without_a_loss(
    reading: Reading, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Snapshot and log, under writers, by one connector that goes on by itself."""
    monkeypatch.setattr("services.warehouse.postgres.trouble.LONGEST_WAIT_S", 0.2)
    monkeypatch.setattr("services.warehouse.postgres.trouble.FIRST_WAIT_S", 0.05)
    dsn, rng = reading.clinic.dsn, random.Random(SEED)
    fill = "insert into crm.customers select n, 'gold', n, 'x' from generate_series(1, 900) n"
    await execute(dsn, fill)
    async with reading.source.running() as task:
        for _ in range(CRASHES):
            writing = asyncio.create_task(_written_until_it_crashes(dsn, rng))
            await asyncio.sleep(rng.random() * 0.4)
            await machine.crash(rng.random() * 0.3)
            await writing
        await write(dsn, rng, rounds=5)
        await until(reading.is_equal, "the replica equals the table", task)
    assert reading.replica.letters == []


async def _written_until_it_crashes(dsn: str, rng: random.Random) -> None:
    with suppress(*AWAY):
        await write(dsn, rng, rounds=1000)
