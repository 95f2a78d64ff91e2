"""One process reaches out to a source, whoever else is started (warehouse-cdc §8)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from schemas.topics import changes
from services.runtime.health import Health
from services.warehouse.connecting import Served
from services.warehouse.connector import LOCK_EVERY_S, Alone, LostDatabase, _alone
from services.warehouse.settings import WarehouseSettings
from services.warehouse.standing import Standing
from tests.integration.conftest import KafkaAddress, PostgresAddress
from tests.integration.customer_database import execute


@pytest.fixture
def served(kafka: KafkaAddress, postgres: PostgresAddress) -> Served:
    settings = WarehouseSettings.model_validate(
        {
            "kafka_bootstrap": kafka.bootstrap,
            "postgres_dsn": postgres.dsn,
            "tenant_key": "a key of the tenant",
        }
    )
    return Served(settings, Health("warehouse"), Standing("dwh", changes("dwh").name))


@asynccontextmanager
async def waiting(served: Served, source: str) -> AsyncIterator[asyncio.Event]:
    """Set once another process has its turn."""
    has_turn = asyncio.Event()

    async def take_turn() -> None:
        async with _alone(source, served) as alone:
            await alone.holding(_turn(has_turn))

    task = asyncio.create_task(take_turn())
    try:
        yield has_turn
        await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _turn(has_turn: asyncio.Event) -> None:
    has_turn.set()


async def test_s8_two_runs_never_overlap(served: Served) -> None:
    """Another source is not waited for."""
    async with waiting(served, "other"), _alone("dwh", served), waiting(served, "other"):
        pass
    async with asyncio.timeout(20):
        first = _alone("dwh", served)
        await first.__aenter__()
        async with waiting(served, "dwh") as has_turn:
            await asyncio.sleep(2 * LOCK_EVERY_S)
            assert not has_turn.is_set()
            await first.__aexit__(None, None, None)
            await has_turn.wait()


async def test_s8_who_loses_its_turn_stops(served: Served, postgres: PostgresAddress) -> None:
    async def run(alone: Alone) -> None:
        with pytest.raises(LostDatabase):
            await alone.holding(_for_ever())

    async with asyncio.timeout(20), _alone("dwh", served) as alone:
        running = asyncio.create_task(run(alone))
        await execute(
            postgres.dsn,
            "select pg_terminate_backend(pid) from pg_locks"
            " where locktype = 'advisory' and pid <> pg_backend_pid()",
        )
        await running


async def _for_ever() -> None:
    await asyncio.Event().wait()
