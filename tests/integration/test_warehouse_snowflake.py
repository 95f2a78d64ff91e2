"""Tables of Snowflake by change tracking and by time travel (warehouse-cdc §5)."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from services.warehouse.checking import check
from services.warehouse.connecting import ChangeWriter
from services.warehouse.domain.change import Change
from services.warehouse.domain.source import SnowflakeSource
from services.warehouse.domain.wire import Refused
from tests.integration.conftest import KafkaAddress, PostgresAddress
from tests.integration.customer_database import PATIENCE_S, Replica, Source, until
from tests.integration.snowflake_server.server import SnowflakeEmulator
from tests.integration.snowflake_tables import DATABASE, Customers
from tests.integration.table_reading import CUSTOMERS, TimedReading

ROWS = 300
PASSWORD = "the reader's secret"
CHANGES, TIME_TRAVEL = ({"mode": mode} for mode in ("changes", "time_travel"))
UNDER_WRITERS = CHANGES | {"rows_at_once": 100, "lag_seconds": 1}
"""A commit may be seen later than its instant says, so reading ends a second behind."""
both = pytest.mark.parametrize("reading", [CHANGES, TIME_TRAVEL], indirect=True, ids=str)


Reading = TimedReading[Customers]


def source_of(snowflake: SnowflakeEmulator, table: Customers, **given: Any) -> SnowflakeSource:
    return SnowflakeSource.model_validate(
        {
            "id": "lake",
            "type": "snowflake",
            "account": "fakesnow",
            "user": "afflux",
            "password": PASSWORD,
            "database": "shop",
            "endpoint": snowflake.address,
            "tables": {"crm.customers": f"{table.schema}.customers"},
            "mode": "changes",
            "poll_seconds": 1,
            "lag_seconds": 0,
        }
        | given
    )


@pytest.fixture
async def reading(
    kafka: KafkaAddress,
    postgres: PostgresAddress,
    snowflake: SnowflakeEmulator,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> AsyncIterator[Reading]:
    table = Customers(snowflake.address)
    found = source_of(snowflake, table, **getattr(request, "param", {}))
    pool = await asyncpg.create_pool(postgres.dsn, min_size=1, max_size=4)
    source = Source(kafka.bootstrap, pool, found, [CUSTOMERS])
    await source.prepare()
    replica = Replica(source, tmp_path / "replica")
    yield Reading(source, replica, table)
    table.close()
    replica.close()
    await pool.close()


STEPS: list[tuple[str, Callable[[Customers], None], list[str]]] = [
    ("insert", lambda t: t.insert((4, "d", 1), (5, None, None)), ["insert", "insert"]),
    ("update", lambda t: t.update("ID = 2", PLAN="'z'", VISITS="NULL"), ["update"]),
    ("delete", lambda t: t.delete("ID = 5"), ["delete"]),
    ("a key again", lambda t: t.insert((5, "again", 5)), ["insert"]),
    (
        "a key that went and came",
        lambda t: t.write(
            f"DELETE FROM {t.name} WHERE ID = 1",
            f"INSERT INTO {t.name} (ID, PLAN, VISITS, ROW_ID) VALUES (1, 'new', 7, 99)",
        ),
        ["update"],
    ),
    ("change of the key", lambda t: t.update("ID = 3", ID="33"), ["delete", "insert"]),
    ("keys that change places", lambda t: t.update("ID IN (4, 5)", ID="9 - ID"), ["update"] * 2),
    ("nothing of use", lambda t: t.update("ID = 1", OTHER="'x'"), []),
    (
        "overwrite",
        lambda t: t.overwrite((1, "new", 7), (2, "b", 2), (4, "again", 5), (5, "d", 1)),
        ["delete", "update"],
    ),
]


@both
async def test_s5_each_operation_becomes_its_changes(reading: Reading) -> None:
    reading.table.create((1, "a", 1), (2, "b", 2), (3, "c", 3))
    await reading.catch_up()
    for name, write, ops in STEPS:
        known = len(reading.changes())
        write(reading.table)
        await reading.catch_up()
        found = sorted(change.op for change in reading.changes()[known:])
        assert (name, found) == (name, ops)
    assert reading.replica.letters == []
    assert {change.snapshot for change in reading.changes()} == {"read", "end", "none"}


async def test_s5_delete_and_insert_of_a_row_id_with_other_keys_are_a_change_of_the_key(
    reading: Reading,
) -> None:
    reading.table.create((3, "c", 3))
    await reading.catch_up()
    reading.table.update("ID = 3", ID="33", PLAN="'moved'")
    await reading.catch_up()
    went, came = sorted(reading.changes()[-2:], key=lambda change: change.op)
    assert (went.key, went.forgets) == ({"id": 3}, True)
    assert (came.key, came.old_key) == ({"id": 33}, {"id": 3})
    assert came.after == {"id": 33, "plan": "moved", "visits": 3}


@both
async def test_s5_only_the_net_change_of_an_interval_is_seen(reading: Reading) -> None:
    reading.table.create((1, "a", 1))
    await reading.catch_up()
    known = len(reading.changes())
    reading.table.insert((2, "b", 2))
    reading.table.update("ID = 1", VISITS="2")
    reading.table.update("ID = 1", VISITS="3")
    reading.table.delete("ID = 2")
    await reading.catch_up()
    assert [(c.op, c.before, c.after) for c in reading.changes()[known:]] == [
        (
            "update",
            {"id": 1, "plan": "a", "visits": 1},
            {"id": 1, "plan": "a", "visits": 3},
        )
    ]


def write(table: Customers, rng: random.Random) -> None:
    key = rng.randrange(ROWS)
    match rng.choice(["insert", "update", "update", "delete", "move", "overwrite"]):
        case "insert":
            table.insert((10_000 + rng.randrange(10**9), "new", None))
        case "update":
            table.update(f"ID BETWEEN {key} AND {key + 50}", VISITS=str(rng.randrange(10**6)))
        case "delete":
            table.delete(f"ID BETWEEN {key} AND {key + 30}")
        case "move":
            table.update(f"ID = {key}", ID=str(rng.randrange(10**9, 10**10)))
        case _:
            table.overwrite(*((n, f"plan-{n % 7}", key) for n in range(0, ROWS, 2)))


class Killed(Exception):
    """The process ended."""


class LastWords(ChangeWriter):
    """Killed as soon as the broker has what was written."""

    async def write(self, said: Sequence[Change | Refused]) -> None:
        await super().write(said)
        if said:
            raise Killed


async def test_s5_a_killed_run_repeats_the_same_interval_at_the_same_positions(
    reading: Reading,
) -> None:
    """Behind the rows and before the checkpoint; a writer goes on meanwhile."""
    source = reading.source
    reading.table.create((1, "a", 1))
    await reading.catch_up()
    reading.table.insert((2, "b", 2))
    source.writer, living = LastWords(source.settings, source.source.id), source.writer
    with pytest.raises(Killed):
        await asyncio.wait_for(source.connector().run(), PATIENCE_S)
    source.writer = living
    reading.table.insert((3, "c", 3))
    await reading.catch_up()
    two, again, three = [change for change in reading.changes() if change.op == "insert"]
    assert (two.key, again.key, three.key) == ({"id": 2}, {"id": 2}, {"id": 3})
    assert two.position == again.position < three.position


async def test_s5_a_restart_reads_no_interval_twice(reading: Reading) -> None:
    reading.table.create((1, "a", 1), (2, "b", 2))
    await reading.catch_up()
    reading.table.insert((3, "c", 3))
    await reading.catch_up()
    await reading.catch_up()
    ops = [change.op for change in reading.changes() if change.snapshot != "end"]
    assert ops == ["read", "read", "insert"]


async def test_s5_the_position_is_the_end_of_the_interval(reading: Reading) -> None:
    reading.table.create((1, "a", 1))
    await reading.catch_up()
    before = reading.table.now()
    reading.table.update("ID = 1", PLAN="'b'")
    await reading.catch_up()
    change = reading.changes()[-1]
    assert before * 1000 - 1 <= change.committed_at <= reading.table.now() * 1000
    assert change.position.startswith(f"{change.committed_at:017d}")


async def test_s5_an_interval_older_than_the_retention_blocks(reading: Reading) -> None:
    """And what is offered is done: everything is read anew, and compared with what is known."""
    reading.table.create((1, "a", 1), (2, "b", 2))
    await reading.catch_up()
    reading.table.update("ID = 1", PLAN="'b'")
    reading.table.shown(retention_time="'0'")
    assert await reading.blocked() == "history_expired"
    reading.table.shown(retention_time="'1'")
    events = len(reading.replica.events)
    reading.change(generation=2)
    await reading.catch_up()
    assert len(reading.replica.events) == events + 1


async def test_s5_change_tracking_that_is_not_enabled_blocks(reading: Reading) -> None:
    reading.table.create((1, "a", 1))
    reading.table.shown(change_tracking="'OFF'")
    assert await reading.blocked() == "tracking_disabled"


@pytest.mark.parametrize("reading", [TIME_TRAVEL], indirect=True, ids=str)
async def test_s5_time_travel_of_a_view_blocks(reading: Reading) -> None:
    reading.table.create((1, "a", 1))
    reading.table.shown(kind="'VIEW'", retention_time="NULL")
    assert await reading.blocked() == "not_a_table"


async def test_s5_changes_of_a_view_are_read(reading: Reading) -> None:
    reading.table.create((1, "a", 1))
    reading.table.shown(kind="'VIEW'", retention_time="NULL")
    await reading.catch_up()
    reading.table.insert((2, "b", 2))
    await reading.catch_up()


async def test_s5_a_table_made_anew_blocks_until_a_person_says_so(reading: Reading) -> None:
    reading.table.create((1, "a", 1), (2, "b", 2))
    await reading.catch_up()
    reading.table.create((1, "b", 1), (2, "b", 2), (3, "c", 3))
    assert await reading.blocked() == "table_recreated"
    reading.change(generation=2)
    await reading.catch_up()


async def test_s5_a_table_that_is_not_there_blocks(reading: Reading) -> None:
    assert await reading.blocked() == "table_missing"


async def test_s5_a_table_too_young_for_the_lag_is_waited_for(reading: Reading) -> None:
    reading.table.create((1, "a", 1))
    reading.table.shown(created_on="DATEADD(second, 2, CURRENT_TIMESTAMP())")
    await reading.read_all()
    assert reading.changes() == []
    reading.table.shown(created_on="DATEADD(second, -9, CURRENT_TIMESTAMP())")
    await reading.catch_up()


NAMES: list[tuple[str, str, bool]] = [
    ("crm_name", "CRM_NAME", True),
    ("Crm_Name", "CRM_NAME", True),
    ("crm_name", '"crm_Name"', True),
    ('"crm_Name"', '"crm_Name"', True),
    ('"crm_name"', "CRM_NAME", False),
]


@pytest.mark.parametrize(("asked", "there", "is_found"), NAMES)
async def test_s5_names_match_without_case_unless_quoted(
    snowflake: SnowflakeEmulator, asked: str, there: str, is_found: bool
) -> None:
    table = Customers(snowflake.address)
    columns = {"ID": "NUMBER", "PLAN": "VARCHAR", "VISITS": "NUMBER", there: "VARCHAR"}
    table.create(columns=columns)
    model = CUSTOMERS.model_copy(update={"columns": {asked: "name"}})
    checked = await check(source_of(snowflake, table), [model])
    assert [each.reason for each in checked.found or ()] == ([] if is_found else ["schema_drift"])
    table.close()


async def test_s5_a_column_that_comes_later_has_the_table_read_anew(reading: Reading) -> None:
    columns = {"ID": "NUMBER(38,0)", "PLAN": "VARCHAR", "VISITS": "NUMBER(38,0)"}
    reading.table.create((1, "a", 1), columns=columns)
    reading.source.models = (
        CUSTOMERS.model_copy(update={"columns": {**CUSTOMERS.columns, "tier": "tier"}}),
    )
    await reading.read_all()
    for name in (reading.table.name, f"{reading.table.name}__HISTORY"):
        reading.table.run(f"ALTER TABLE {name} ADD COLUMN TIER VARCHAR")
        reading.table.run(f"UPDATE {name} SET TIER = 'gold'")
    await reading.read_all()
    first, *_, last = (c for c in reading.changes() if c.after is not None)
    assert (first.epoch or 0) < (last.epoch or 0)
    assert last.after == {"id": 1, "plan": "a", "tier": "gold", "visits": 1}


async def test_s10_a_key_column_that_is_not_there_blocks(reading: Reading) -> None:
    reading.table.create((1, "a", 1))
    reading.source.models = (CUSTOMERS.model_copy(update={"key": ("number",)}),)
    assert await reading.blocked() == "key_column_missing"


@both
async def test_s10_rows_without_a_key_and_twins_are_rejected(reading: Reading) -> None:
    reading.table.create((1, "a", 1))
    await reading.catch_up()
    reading.table.insert((None, "x", 1), (7, "one", 1), (7, "two", 2), (8, "h", 8))
    await reading.read_all()
    assert {letter.code for letter in reading.replica.letters} == {"null_key", "duplicate_key"}
    assert sorted(c.key["id"] for c in reading.changes() if c.key) == [1, 8]
    await reading.read_all()
    assert len(reading.replica.letters) == 2


READING_STATEMENTS = ("SELECT ", "SHOW ", "DESCRIBE ", "ALTER SESSION ")


@both
async def test_s1_nothing_but_reading_statements_is_sent(
    reading: Reading, snowflake: SnowflakeEmulator
) -> None:
    reading.table.create((1, "a", 1))
    known = len(sent(snowflake))
    await reading.read_all()
    reading.source.source = reading.source.source.model_copy(update={"rows_at_once": 1})
    await reading.read_all()
    assert (await check(reading.source.source, [CUSTOMERS])).found == []
    ours = sent(snowflake)[known:]
    assert sum("METADATA$ACTION" in each or " MINUS " in each for each in ours) > 1
    assert [each for each in ours if not each.startswith(READING_STATEMENTS)] == []


def sent(snowflake: SnowflakeEmulator) -> list[str]:
    """Every statement so far."""
    return snowflake.log.read_text(encoding="utf-8").splitlines()


async def test_s5_a_snowflake_that_is_away_is_waited_for(
    reading: Reading, capfd: pytest.CaptureFixture[str]
) -> None:
    reading.source.source = reading.source.source.model_copy(
        update={"endpoint": "http://127.0.0.1:9"}
    )
    standing = reading.source.standing
    async with reading.source.running() as task:
        await until(lambda: standing.state == "waiting", "it waits", task)
    assert standing.reason is not None
    assert standing.reason.startswith("Snowflake is away")
    assert PASSWORD not in "".join(capfd.readouterr()) + standing.reason


FOUND: list[tuple[dict[str, str], dict[str, Any], list[tuple[str, bool]]]] = [
    ({}, {}, []),
    ({"change_tracking": "'OFF'"}, {}, [("tracking_disabled", True)]),
    ({}, {"key": ("number",)}, [("key_column_missing", True)]),
    ({}, {"columns": {"colour": "colour"}}, [("schema_drift", False)]),
    ({}, {"relation": "crm.nothing"}, [("table_missing", True)]),
]


async def test_s5_the_setup_check_names_what_is_missing(snowflake: SnowflakeEmulator) -> None:
    table = Customers(snowflake.address)
    source = source_of(snowflake, table)
    for shown, more, found in FOUND:
        table.create(columns={"ID": "NUMBER", "PLAN": "VARCHAR"})
        if shown:
            table.shown(**shown)
        checked = await check(source, [CUSTOMERS.model_copy(update={"columns": {}} | more)])
        assert [(each.reason, each.fatal) for each in checked.found or ()] == found
    table.close()
    statement = f'ALTER TABLE "{DATABASE}"."{table.schema}"."CUSTOMERS" SET CHANGE_TRACKING = TRUE'
    checked = await check(source, [CUSTOMERS])
    assert statement in [each.statement for each in checked.asked]


async def test_s5_the_setup_check_says_when_snowflake_is_away(snowflake: SnowflakeEmulator) -> None:
    table = Customers(snowflake.address)
    source = source_of(snowflake, table, endpoint="http://127.0.0.1:9")
    (found,) = (await check(source, [CUSTOMERS])).found or ()
    assert found.reason == "unreachable"
    assert PASSWORD not in found.sentence
    table.close()
