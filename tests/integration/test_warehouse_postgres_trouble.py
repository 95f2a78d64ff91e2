"""What goes wrong between PostgreSQL and its reader, and what is never done (§1, §4)."""

import asyncio
import random
import re
import subprocess
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import psutil
import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._resource import ResourceType
from prometheus_client import REGISTRY

from deploy.local.postgres import postgres_binaries
from schemas.topics import changes
from services.runtime.kafka import client
from services.runtime.stage import Blocked
from services.warehouse.connecting import ChangeWriter
from services.warehouse.pause import pause
from services.warehouse.postgres.position import Checkpoint
from services.warehouse.postgres.progress import POSITION
from services.warehouse.removal import remove
from tests.integration.customer_database import PASSWORD, ROLE, execute, fetch, until
from tests.integration.postgres_standby import following
from tests.integration.test_warehouse_postgres import (
    BOTH_MODES,
    BOTH_VERSIONS,
    Reading,
    clinic,
    reading,
    server,
)

__all__ = ["clinic", "reading", "server"]

IDLE = {"poll_ms": 10}


async def blocked(reading: Reading) -> str:
    """Why it waits for a person."""
    async with reading.source.running() as task:
        with pytest.raises(Blocked) as found:
            await asyncio.wait_for(asyncio.shield(task), 30)
        return found.value.reason


async def _read_once(reading: Reading) -> None:
    await execute(reading.clinic.dsn, "insert into crm.customers values (1, 'gold', 3, null)")
    async with reading.source.running() as task:
        await until(reading.is_equal, "the first row", task)


@BOTH_VERSIONS
async def test_s4_1_all_failures_of_the_setup_are_told_at_once(reading: Reading) -> None:
    await execute(
        reading.clinic.dsn,
        "drop publication afflux",
        f"revoke select on crm.customers from {ROLE}",
        f"alter role {ROLE} noreplication",
    )
    async with reading.source.running() as task:
        with pytest.raises(Blocked) as found:
            await asyncio.wait_for(asyncio.shield(task), 30)
    said = str(found.value)
    for part in (
        f'alter role "{ROLE}" replication',
        'create publication "afflux" for table "crm"."customers"',
        'grant select on "crm"."customers"',
    ):
        assert part in said


async def test_s4_1_a_table_without_key_or_identity_is_named(reading: Reading) -> None:
    await execute(reading.clinic.dsn, "alter table crm.customers drop constraint customers_pkey")
    assert await blocked(reading) == "no_replica_identity"


async def test_s4_2_a_column_list_must_hold_the_replica_identity(reading: Reading) -> None:
    dsn = reading.clinic.dsn
    (version,) = (await fetch(dsn, "show server_version_num"))[0]
    assert int(version) >= 150_000
    await execute(
        dsn,
        "drop publication afflux",
        "create publication afflux for table crm.customers (plan, visits, note)",
    )
    assert await blocked(reading) == "identity_not_published"


async def test_s4_3_without_its_publication_no_slot_is_made(reading: Reading) -> None:
    await execute(reading.clinic.dsn, "drop publication afflux")
    assert await blocked(reading) == "publication_missing"
    assert await fetch(reading.clinic.dsn, "select * from pg_replication_slots") == []


@BOTH_VERSIONS
@BOTH_MODES
async def test_s4_3_a_publication_that_goes_blocks_and_nothing_is_skipped(
    reading: Reading,
) -> None:
    await _read_once(reading)
    await execute(reading.clinic.dsn, "drop publication afflux")
    assert await blocked(reading) == "publication_missing"


async def test_s4_3_a_publication_made_anew_is_not_taken_for_the_one_from_before(
    reading: Reading,
) -> None:
    """PostgreSQL 18 would skip what changed in between and say nothing."""
    dsn = reading.clinic.dsn
    await _read_once(reading)
    await execute(
        dsn,
        "drop publication afflux",
        "update crm.customers set plan = 'tin'",
        "create publication afflux for table crm.customers",
    )
    assert await blocked(reading) == "publication_missing"
    reading.source.source = reading.source.source.model_copy(update={"generation": 2})
    async with reading.source.running() as task:
        await until(reading.is_equal, "everything anew", task)


async def test_s4_3_a_table_that_was_out_of_the_publication_is_read_again(
    reading: Reading,
) -> None:
    dsn = reading.clinic.dsn
    await _read_once(reading)
    await execute(
        dsn,
        "create table crm.other (id int primary key)",
        "alter publication afflux set table crm.other",
        "update crm.customers set plan = 'tin'",
        "alter publication afflux set table crm.customers",
    )
    async with reading.source.running() as task:
        await until(reading.is_equal, "the table anew", task)


@BOTH_MODES
async def test_s4_3_a_publication_made_anew_is_noticed_while_it_is_read(
    reading: Reading, monkeypatch: pytest.MonkeyPatch
) -> None:
    dsn = reading.clinic.dsn
    await _read_once(reading)
    monkeypatch.setattr("services.warehouse.postgres.watch.LOOK_EVERY_S", 0.0)
    async with reading.source.running() as task:
        await until(lambda: reading.source.standing.state == "streaming", "it reads", task)
        await execute(
            dsn,
            "alter publication afflux drop table crm.customers",
            "update crm.customers set plan = 'tin'",
            "alter publication afflux add table crm.customers",
        )
        await until(reading.is_equal, "the table anew", task)
        await execute(
            dsn,
            "begin; drop publication afflux;"
            " create publication afflux for table crm.customers; commit",
        )
        with pytest.raises(Blocked) as found:
            await asyncio.wait_for(asyncio.shield(task), 30)
    assert found.value.reason == "publication_missing"


@BOTH_VERSIONS
async def test_s4_7_a_lost_slot_blocks_until_a_new_generation_reads_everything_anew(
    reading: Reading,
) -> None:
    dsn = reading.clinic.dsn
    await _read_once(reading)
    await execute(dsn, "select pg_drop_replication_slot('afflux_crm')")
    await execute(dsn, "insert into crm.customers values (2, 'iron', 1, null)")
    await execute(dsn, "update crm.customers set plan = 'tin' where id = 1")
    assert await blocked(reading) == "slot_lost"
    reading.source.source = reading.source.source.model_copy(update={"generation": 2})
    async with reading.source.running() as task:
        await until(reading.is_equal, "everything anew", task)


@BOTH_VERSIONS
async def test_s4_7_a_slot_that_outran_its_limit_is_lost(reading: Reading) -> None:
    dsn = reading.clinic.dsn
    await _read_once(reading)
    await execute(
        dsn,
        "alter system set max_slot_wal_keep_size = '1MB'",
        "select pg_reload_conf()",
        "create table public.noise (n int)",
    )
    try:
        await until(lambda: _outrun(dsn), "the slot lost")
        assert await blocked(reading) == "slot_lost"
    finally:
        await execute(dsn, "alter system reset max_slot_wal_keep_size", "select pg_reload_conf()")


async def _outrun(dsn: str) -> bool:
    await execute(
        dsn, "insert into public.noise values (1)", "select pg_switch_wal()", "checkpoint"
    )
    (row,) = await fetch(dsn, "select wal_status from pg_replication_slots")
    return bool(row[0] == "lost")


@BOTH_VERSIONS
@pytest.mark.parametrize("standbys", [False, True])
async def test_s4_7_where_there_are_standbys_the_slot_is_made_to_outlive_a_failover(
    reading: Reading, standbys: bool
) -> None:
    dsn = reading.clinic.dsn
    async with following(dsn) if standbys else nullcontext():
        await _read_once(reading)
    (version,) = (await fetch(dsn, "show server_version_num"))[0]
    if int(version) < 170_000:
        return
    (row,) = await fetch(dsn, "select failover from pg_replication_slots")
    assert row[0] == standbys


async def test_s4_7_a_slot_that_somebody_else_advanced_blocks(reading: Reading) -> None:
    dsn = reading.clinic.dsn
    await _read_once(reading)
    await execute(dsn, "insert into crm.customers values (2, 'iron', 1, null)")
    await execute(
        dsn,
        "checkpoint",  # what is not flushed cannot be passed over
        "select pg_replication_slot_advance('afflux_crm', pg_current_wal_lsn())",
    )
    assert await blocked(reading) == "history_changed"


@BOTH_MODES
async def test_s4_7_a_slot_in_use_elsewhere_is_waited_for(reading: Reading) -> None:
    """Another session holds it open; it is never taken away."""
    await _read_once(reading)
    parts = urlsplit(reading.clinic.dsn)
    command = [str(postgres_binaries() / "pg_recvlogical"), "-h", str(parts.hostname)]
    command += ["-p", str(parts.port), "-U", "postgres", "-d", "shop", "-S", "afflux_crm"]
    command += ["--start", "-f", "/dev/null", "-o", "proto_version=1"]
    command += ["-o", "publication_names=afflux"]
    holder = await asyncio.create_subprocess_exec(*command, stderr=subprocess.DEVNULL)
    try:
        await until(lambda: _active(reading.clinic.dsn), "the slot in use")
        async with reading.source.running() as task:
            await until(lambda: reading.source.standing.reason, "it says why it waits", task)
            assert "in use" in str(reading.source.standing.reason)
            assert holder.returncode is None
            holder.kill()
            await execute(reading.clinic.dsn, "update crm.customers set plan = 'tin'")
            await until(reading.is_equal, "it goes on", task)
    finally:
        if holder.returncode is None:
            holder.kill()
        await holder.wait()


async def _active(dsn: str) -> bool:
    rows = await fetch(dsn, "select active from pg_replication_slots")
    return bool(rows) and bool(rows[0][0])


@BOTH_MODES
async def test_s4_7_a_slot_that_holds_back_much_is_an_alarm_with_bytes_and_time_to_loss(
    reading: Reading, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    dsn = reading.clinic.dsn
    await _read_once(reading)
    monkeypatch.setattr("services.warehouse.postgres.watch.LOOK_EVERY_S", 0.0)
    limited = {"wal_alert_bytes": 1}
    reading.source.source = reading.source.source.model_copy(update=limited)
    await execute(
        dsn,
        "alter system set max_slot_wal_keep_size = '1GB'",
        "select pg_reload_conf()",
        "create table public.noise (n int, t text)",
    )
    said = ""

    async def is_told() -> bool:
        nonlocal said
        await execute(
            dsn,
            "insert into public.noise select n, 'x' from generate_series(1, 9000) n",
            "checkpoint",
        )
        said += capsys.readouterr().out
        return re.search(r"lost_in_s\W+\d+", said) is not None

    try:
        async with reading.source.running() as task:
            await until(is_told, "the alarm", task)
    finally:
        await execute(dsn, "alter system reset max_slot_wal_keep_size", "select pg_reload_conf()")
    assert re.search(r"the slot holds back log.*bytes\W+\d+", said)
    assert REGISTRY.get_sample_value("afflux_warehouse_alarming_bytes")


@BOTH_MODES
async def test_s4_7_a_slot_that_holds_back_too_much_is_dropped_where_that_is_asked_for(
    reading: Reading, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _read_once(reading)
    monkeypatch.setattr("services.warehouse.postgres.watch.LOOK_EVERY_S", 0.0)
    limited = {"wal_drop_bytes": 1}
    reading.source.source = reading.source.source.model_copy(update=limited)
    assert await blocked(reading) == "slot_dropped"
    assert await fetch(reading.clinic.dsn, "select * from pg_replication_slots") == []


async def test_s4_6_a_snapshot_stops_at_the_ceiling_of_held_back_log(reading: Reading) -> None:
    await execute(
        reading.clinic.dsn,
        "insert into crm.customers select n, 'gold', n, null from generate_series(1, 500) n",
    )
    limited = {"snapshot_wal_bytes": 1}
    reading.source.source = reading.source.source.model_copy(update=limited)
    assert await blocked(reading) == "snapshot_wal"


async def test_s4_7_a_long_pause_in_which_log_grows_is_an_alarm(
    reading: Reading, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    dsn, source = reading.clinic.dsn, reading.source
    await _read_once(reading)
    monkeypatch.setattr("services.warehouse.pause.LOOK_EVERY_S", 0.05)
    monkeypatch.setattr("services.warehouse.pause.LONG_S", 0.5)
    await execute(dsn, "create table public.noise (n int)", "checkpoint")
    pausing = asyncio.create_task(pause(source.source, source.standing))
    said = ""

    def is_told() -> bool:
        nonlocal said
        said += capsys.readouterr().out
        return "paused for long" in said

    try:
        await asyncio.sleep(1)
        assert source.standing.state == "paused"
        assert not is_told()
        await execute(dsn, "insert into public.noise select generate_series(1, 9000)", "checkpoint")
        await until(is_told, "the warning", pausing)
        assert REGISTRY.get_sample_value("afflux_warehouse_alarming_bytes")
        limited = source.source.model_copy(update={"wal_drop_bytes": 1})
        with pytest.raises(Blocked) as found:
            await asyncio.wait_for(pause(limited, source.standing), 30)
        assert found.value.reason == "slot_dropped"
    finally:
        pausing.cancel()
        await asyncio.gather(pausing, return_exceptions=True)


async def test_s4_7_a_removed_source_drops_its_slot(reading: Reading, tmp_path: Path) -> None:
    """Also when the database is away at first."""
    dsn = reading.clinic.dsn
    await _read_once(reading)
    source = reading.source
    settings = source.settings.model_copy(update={"state_dir": tmp_path})
    await execute(dsn, f"alter role {ROLE} nologin")
    removing = asyncio.create_task(
        remove(source.source, source.checkpoints(), settings, source.standing)
    )
    try:
        await until(lambda: source.standing.state == "waiting", "it says why", removing)
        assert await fetch(dsn, "select * from pg_replication_slots") != []
        await execute(dsn, f"alter role {ROLE} login")
        await until(lambda: source.standing.reason == "removed", "it is removed", removing)
    finally:
        removing.cancel()
        await asyncio.gather(removing, return_exceptions=True)
    assert await fetch(dsn, "select * from pg_replication_slots") == []
    assert not await source.checkpoints().exist()


@BOTH_MODES
async def test_s4_7_a_database_that_restarts_is_waited_for(reading: Reading) -> None:
    """Its sessions are ended as a restart ends them."""
    dsn = reading.clinic.dsn
    await _read_once(reading)
    async with reading.source.running() as task:
        await until(lambda: reading.source.standing.state == "streaming", "it reads", task)
        await execute(
            dsn,
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where application_name = 'afflux'",
            "insert into crm.customers values (9, 'gold', 3, null)",
        )
        await until(reading.is_equal, "it is back", task)


@pytest.mark.parametrize("reading", [{"mode": "stream"}], indirect=True)
async def test_s4_4_the_server_is_answered_when_it_asks(reading: Reading) -> None:
    """It asks after half a second of silence, and ends a connection that says nothing."""
    dsn = reading.clinic.dsn
    await _read_once(reading)
    await execute(dsn, f"alter role {ROLE} set wal_sender_timeout = '1s'")
    senders = "select pid from pg_stat_replication"
    async with reading.source.running() as task:
        await until(lambda: fetch(dsn, senders), "it streams", task)
        first = await fetch(dsn, senders)
        await asyncio.sleep(2.5)
        assert await fetch(dsn, senders) == first


@BOTH_MODES
async def test_s4_4_messages_of_applications_are_passed_over(reading: Reading) -> None:
    dsn = reading.clinic.dsn
    await _read_once(reading)
    async with reading.source.running() as task:
        await execute(
            dsn,
            "select pg_logical_emit_message(false, 'app', 'at once')",
            "begin; select pg_logical_emit_message(true, 'app', 'with it');"
            " update crm.customers set plan = 'tin'; commit",
        )
        await until(reading.is_equal, "the change behind them", task)


@BOTH_MODES
async def test_s2_5_no_position_moves_before_the_broker_has_what_it_stands_for(
    reading: Reading,
) -> None:
    """The broker refuses a record that is larger than the topic allows."""
    dsn = reading.clinic.dsn
    await _read_once(reading)
    before = await _positions(reading)
    _allow(reading, record_bytes=500)
    note = random.Random(7).randbytes(2000).hex()
    await execute(dsn, f"update crm.customers set note = '{note}'")
    with pytest.raises(KafkaException):
        await asyncio.wait_for(reading.source.connector().run(), 30)
    assert await _positions(reading) == before
    _allow(reading, record_bytes=1 << 20)
    reading.source.writer = ChangeWriter(reading.source.settings, "crm")
    async with reading.source.running() as task:
        await until(reading.is_equal, "the record after all", task)
        await until(lambda: _moved(reading, before), "the positions behind it", task)


async def _positions(reading: Reading) -> tuple[int, int]:
    """As the checkpoint has it, and the slot."""
    body = await reading.source.checkpoints().load(POSITION)
    assert body is not None
    (row,) = await fetch(
        reading.clinic.dsn,
        "select (confirmed_flush_lsn - '0/0')::int8 from pg_replication_slots",
    )
    return msgspec.msgpack.decode(body, type=Checkpoint).confirmed, row[0]


async def _moved(reading: Reading, before: tuple[int, int]) -> bool:
    now = await _positions(reading)
    return all(a > b for a, b in zip(now, before, strict=True))


def _allow(reading: Reading, *, record_bytes: int) -> None:
    settings = reading.source.settings
    limit = ConfigEntry(
        "max.message.bytes",
        str(record_bytes),
        incremental_operation=AlterConfigOpType.SET,
    )
    resource = ConfigResource(ResourceType.TOPIC, changes("crm").name, incremental_configs=[limit])
    admin = AdminClient(client(settings.kafka_bootstrap))
    for done in admin.incremental_alter_configs([resource]).values():
        done.result(10)


@BOTH_MODES
async def test_s4_4_an_idle_publication_in_a_busy_database_retains_no_log(
    reading: Reading, monkeypatch: pytest.MonkeyPatch
) -> None:
    dsn = reading.clinic.dsn
    await _read_once(reading)
    await execute(dsn, "create table public.noise (n int, t text)")
    monkeypatch.setattr("services.warehouse.postgres.progress.IDLE_BYTES", 1 << 20)
    async with reading.source.running() as task:
        for _ in range(20):
            await execute(
                dsn,
                "insert into public.noise select n, repeat('x', 200)"
                " from generate_series(1, 10000) n",
            )
        await until(lambda: _retains_little(dsn), "the slot has moved on", task)


async def _retains_little(dsn: str) -> bool:
    """Less than half of what was written: some of it waits for the next checkpoint's horizon."""
    rows = await fetch(
        dsn,
        "select pg_current_wal_lsn() - confirmed_flush_lsn < 2000000 from pg_replication_slots",
    )
    return bool(rows[0][0])


@BOTH_MODES
async def test_s4_4_a_large_transaction_needs_no_more_memory_than_a_small_one(
    reading: Reading,
) -> None:
    """240 MB in one transaction; its rows go to the broker while they are read. Counted is the
    whole process: what libraries and the allocator keep is more than what is waiting."""
    await _read_once(reading)
    await execute(
        reading.clinic.dsn,
        "insert into crm.customers select n, 'gold', n, repeat('x', 4000)"
        " from generate_series(1, 60000) n on conflict do nothing",
    )
    process = psutil.Process()
    before = peak = process.memory_info().rss

    def is_read() -> bool:
        nonlocal peak
        peak = max(peak, process.memory_info().rss)
        return reading.replica.end() >= 60_000

    async with reading.source.running() as task:
        await until(is_read, "all of it", task)
    assert peak - before < 200_000_000, peak - before


@BOTH_VERSIONS
@BOTH_MODES
async def test_s4_5_what_was_not_sent_stays_and_a_new_column_is_met(reading: Reading) -> None:
    """An out-of-line value that an update leaves alone is not in the log at all."""
    dsn = reading.clinic.dsn
    note = "".join(chr(97 + n * 7 % 26) for n in range(9000))
    await execute(
        dsn,
        "alter table crm.customers alter column note set storage external",
        f"insert into crm.customers values (1, 'gold', 3, '{note}')",
    )
    async with reading.source.running() as task:
        await until(reading.is_equal, "the long note", task)
        await execute(dsn, "update crm.customers set plan = 'iron'")
        await until(reading.is_equal, "the note as it was", task)
        await execute(
            dsn,
            "alter table crm.customers add column extra int",
            "alter table crm.customers alter column visits type text using visits::text",
            "update crm.customers set visits = '00012', extra = 7",
        )
        await until(lambda: _visits(reading) == "00012", "the new type", task)
    last = reading.replica.events[-1]
    assert b'"note"' not in last.payload
    assert note.encode() not in last.payload


def _visits(reading: Reading) -> Any:
    reading.replica.read()
    return reading.replica.people["1"]["visits"]


async def test_s4_5_truncate_waits_for_a_person_like_any_mass_delete(reading: Reading) -> None:
    dsn = reading.clinic.dsn
    await _read_once(reading)
    await execute(dsn, "truncate crm.customers")
    async with reading.source.running() as task:
        with pytest.raises(Blocked) as found:
            await until(reading.is_equal, "never", task)
    assert found.value.reason == "mass_delete"


@BOTH_VERSIONS
async def test_s1_nothing_is_written_to_the_database_of_the_customer(
    reading: Reading, tmp_path: Path
) -> None:
    """With a role that may only read; a dump from before equals one from after."""
    dsn = reading.clinic.dsn
    await execute(
        dsn,
        "insert into crm.customers select n, 'gold', n, 'confidential-' || n"
        " from generate_series(1, 500) n",
    )
    before = _dump(dsn)
    async with reading.source.running() as task:
        await until(reading.is_equal, "the snapshot", task)
    assert _dump(dsn) == before
    rows = await fetch(
        dsn, "select has_table_privilege($1, 'crm.customers', 'insert, update, delete')", ROLE
    )
    assert rows[0][0] is False
    kept = await reading.source.pool.fetch("select body from warehouse.checkpoints")
    assert kept
    assert not any(b"confidential" in row["body"] for row in kept)


def _dump(dsn: str) -> bytes:
    parts = urlsplit(dsn)
    command = [str(postgres_binaries() / "pg_dump"), "-h", str(parts.hostname)]
    command += ["-p", str(parts.port), "-U", "postgres", "--inserts", "shop"]
    dumped = subprocess.run(command, capture_output=True, check=True).stdout
    return b"\n".join(
        line
        for line in dumped.split(b"\n")
        if not line.startswith((b"\\restrict", b"\\unrestrict"))
    )


async def test_s4_7_credentials_appear_in_no_sentence(
    reading: Reading, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CRM_DSN", reading.clinic.reader.replace(PASSWORD.split()[0], "wrong"))
    await execute(
        reading.clinic.dsn, "select pg_terminate_backend(0)", f"alter role {ROLE} nologin"
    )
    async with reading.source.running() as task:
        await until(lambda: reading.source.standing.reason, "it says why it waits", task)
    said = capsys.readouterr()
    assert "wrong" not in said.out + said.err + str(reading.source.standing)
