"""Every type has one value, whether a snapshot, a poll or a stream reads it (§2.3, §4.5, §4.6)."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from services.warehouse.domain.model import Model
from services.warehouse.domain.source import PostgresSource
from tests.integration.conftest import KafkaAddress, PostgresAddress
from tests.integration.customer_database import ROLE, Replica, Source, execute, until
from tests.integration.test_warehouse_postgres import Clinic, clinic, server

__all__ = ["clinic", "server"]

COLUMNS = {
    "b": ("boolean", "true", True),
    "i2": ("smallint", "-7", -7),
    "i8": ("bigint", "9223372036854775807", 9223372036854775807),
    "num": ("numeric", "12345678901234567890123456789.123456789", None),
    "whole": ("numeric(12, 2)", "1200.00", 1200),
    "nan": ("numeric", "'NaN'", ...),
    "f8": ("double precision", "0.1", 0.1),
    "inf": ("double precision", "'-Infinity'", ...),
    "t": ("text", "E'tab\\t quote\" back\\\\slash\\n é 🙂'", 'tab\t quote" back\\slash\n é 🙂'),
    "empty": ("text", "''", ""),
    "none": ("text", "null", ...),
    "c": ("char(5)", "'ab'", "ab   "),
    "by": ("bytea", "'\\x00ff'", "00ff"),
    "d": ("date", "'2024-02-29'", "2024-02-29"),
    "ts": ("timestamp", "'2024-02-29 12:00:00.5'", "2024-02-29T12:00:00.500000"),
    "tz": ("timestamptz", "'2024-02-29 12:00:00+05:30'", "2024-02-29T06:30:00.000000Z"),
    "far": ("timestamptz", "'infinity'", ...),
    "tm": ("time", "'23:59:59'", "23:59:59"),
    "iv": ("interval", "'1 day 2 hours'", "P1DT2H"),
    "js": ("json", """'{"a": [1, 2.50], "b": null}'""", {"a": [1, 2.5], "b": None}),
    "jb": ("jsonb", """'{"z": 1, "a": "x"}'""", {"a": "x", "z": 1}),
    "u": ("uuid", "'6F0C9A3E-0000-4000-8000-000000000000'", "6f0c9a3e-0000-4000-8000-000000000000"),
    "e": ("mood", "'good'", "good"),
    "dom": ("positive", "5", 5),
    "ai": ("integer[]", "array[1, null, 3]", [1, None, 3]),
    "at": ("text[]", """array['a,b', 'c"d', '']""", ["a,b", 'c"d', ""]),
    "ad": ("positive[]", "array[1, 2]::positive[]", [1, 2]),
    "ae": ("mood[]", "array['good', 'bad']::mood[]", ["good", "bad"]),
    "am": ("integer[][]", "array[[1, 2], [3, 4]]", [[1, 2], [3, 4]]),
    "ip": ("inet", "'10.0.0.1/8'", "10.0.0.1/8"),
}
"""Column → type, literal, value in the event; `...` is null."""


@pytest.fixture(params=["poll", "stream"])
async def reading(
    kafka: KafkaAddress,
    postgres: PostgresAddress,
    clinic: Clinic,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> AsyncIterator[tuple[Source, Replica]]:
    monkeypatch.setenv("CRM_DSN", clinic.reader)
    columns = ", ".join(f"{name} {type_}" for name, (type_, _, _) in COLUMNS.items())
    await execute(
        clinic.dsn,
        "create type mood as enum ('good', 'bad')",
        "create domain positive as integer check (value > 0)",
        f"create table crm.types (id positive primary key, {columns})",
        "alter publication afflux add table crm.types",
        f"grant select on crm.types to {ROLE}",
    )
    model: dict[str, Any] = {"id": "types", "source": "crm", "relation": "crm.types"}
    model |= {
        "rows": "profile",
        "key": ["id"],
        "identifiers": {"user_id": "id"},
        "on_null": "ignore",
    }
    source = Source(
        kafka.bootstrap,
        pool := await asyncpg.create_pool(postgres.dsn, min_size=1, max_size=4),
        PostgresSource(
            id="crm",
            type="postgres",
            dsn="env:CRM_DSN",
            publication="afflux",
            mode=request.param,
            poll_ms=20,
        ),
        [Model.model_validate(model | {"columns": {name: name for name in COLUMNS}})],
    )
    await source.prepare()
    replica = Replica(source, tmp_path / "replica")
    yield source, replica
    replica.close()
    await pool.close()


async def test_s4_6_a_value_is_the_same_from_snapshot_and_log(
    reading: tuple[Source, Replica], clinic: Clinic
) -> None:
    source, replica = reading
    literals = ", ".join(literal for _, literal, _ in COLUMNS.values())
    await execute(clinic.dsn, f"insert into crm.types values (1, {literals})")

    def has(count: int) -> bool:
        replica.read()
        return len(replica.events) == count

    async with source.running() as task:
        await until(lambda: has(1), "the snapshot", task)
        await execute(clinic.dsn, f"insert into crm.types values (2, {literals})")
        await until(lambda: has(2), "the log", task)
    first, second = (_traits(event.payload) for event in replica.events)
    assert first == second
    assert first["num"] == "12345678901234567890123456789.123456789"
    del first["num"]
    expected = {name: value for name, (_, _, value) in COLUMNS.items() if value is not ...}
    del expected["num"]
    assert first == {name: _exact(value) for name, value in expected.items()}
    assert replica.letters == []


def _traits(payload: bytes) -> dict[str, Any]:
    """Numbers with a point as their text."""
    found: dict[str, Any] = json.loads(payload, parse_float=str)["traits"]
    return found


def _exact(value: Any) -> Any:
    return json.loads(json.dumps(value), parse_float=str)
