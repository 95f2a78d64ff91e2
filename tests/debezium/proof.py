"""Debezium's real engine on a real PostgreSQL: what our reader makes of it equals the table.

warehouse-cdc §3, §11. Its events go into Kafka as Debezium Server would write them.
"""

import asyncio
import json
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from confluent_kafka import Producer

from deploy.local.postgres import postgres_server as start_postgres
from schemas.topics import Topic
from services.runtime.kafka import client
from services.warehouse.domain.canonical import Digests
from services.warehouse.domain.model import Model
from services.warehouse.domain.source import DebeziumSource
from tests.integration.conftest import KafkaAddress, kafka
from tests.integration.customer_database import TENANT_KEY, Replica, Source, execute, until
from tests.integration.test_warehouse_postgres_types import COLUMNS
from tests.integration.topics import recreate_topics

__all__ = ["kafka"]

INTERPRETER = os.environ["AFFLUX_DEBEZIUM_PYTHON"]
ENGINE = Path(__file__).with_name("engine.py")
TOPIC = Topic("clinic.crm.types", key="row", records=(), cleanup="delete", foreign=True)
LONG = "".join(chr(97 + n * 7 % 26) for n in range(9000))

NOT_THERE = {
    "am": "an array of arrays arrives as nulls",
    "ad": "an array of a domain is left out without a word",
}
VALUES = {name: (*said,) for name, said in COLUMNS.items() if name not in NOT_THERE} | {
    "iv": ("interval", "'1 day 2 hours'", 26 * 3_600_000_000),
    "bits": ("bit(8)", "b'00000101'", "05"),
    "note": ("text", f"'{LONG}'", LONG),
}
"""Column → type, literal, value in the event; `...` is null."""
TYPES = {
    **{"i2": "integer", "i8": "integer", "num": "decimal", "whole": "decimal", "nan": "decimal"},
    **{"f8": "number", "inf": "number", "by": "bytes", "d": "date", "ts": "timestamp_us"},
    **{"tz": "zoned_timestamp", "far": "zoned_timestamp", "tm": "time_us", "iv": "duration_us"},
    **{"js": "json", "jb": "json", "bits": "bytes", "b": "boolean", "ai": "integer[]"},
}
"""As a model declares them where messages have no schema; the others are text."""

ASKED = {"decimal.handling.mode": "string", "schemas": "false"}
FLAT = {
    "transforms": "unwrap",
    "transforms.unwrap.type": "io.debezium.transforms.ExtractNewRecordState",
    "transforms.unwrap.delete.tombstone.handling.mode": "rewrite",
    "transforms.unwrap.add.fields": "op,lsn,source.ts_ms,schema,table",
}
AS_TEXT = {"num": COLUMNS["num"][1], "whole": "1200.00", "nan": "NAN"}
"""Decimals whose message says that they are text."""
CASES: Mapping[str, tuple[Mapping[str, str], Sequence[str], Mapping[str, Any]]] = {
    "as asked": (ASKED, (), {}),
    "with schemas": (ASKED | {"schemas": "true"}, (), AS_TEXT),
    "precise, connect": (
        {"decimal.handling.mode": "precise", "time.precision.mode": "connect", "schemas": "true"},
        ("nan",),
        {},
    ),
    "double, isostring": (
        {"decimal.handling.mode": "double", "time.precision.mode": "isostring", "schemas": "true"},
        (),
        {"num": 12345678901234568 * 10**12},
    ),
    "flattened": (ASKED | FLAT, (), {}),
}
"""Settings of the connector, columns that it cannot tell with them, and values that it tells
otherwise."""


def _properties(dsn: str, directory: Path, settings: Mapping[str, str]) -> dict[str, str]:
    parts = urlsplit(dsn)
    schemas = settings["schemas"]
    converters = {
        f"{part}.converter.{name}": value
        for part in ("key", "value")
        for name, value in (("schemas.enable", schemas), ("replace.null.with.default", "false"))
    }
    return {
        "name": "engine",
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
        "offset.storage": "org.apache.kafka.connect.storage.FileOffsetBackingStore",
        "offset.storage.file.filename": str(directory / "offsets.dat"),
        "database.hostname": str(parts.hostname),
        "database.port": str(parts.port),
        "database.user": "postgres",
        "database.password": "trusted",
        "database.dbname": "postgres",
        "topic.prefix": "clinic",
        "plugin.name": "pgoutput",
        "schema.include.list": "crm",
        "skipped.operations": "none",
        **converters,
        **{name: value for name, value in settings.items() if name != "schemas"},
    }


@pytest.fixture
def customer() -> Iterator[str]:
    with (
        tempfile.TemporaryDirectory(prefix="afflux-") as directory,
        start_postgres(Path(directory) / "customer", durable=False) as server,
    ):
        yield server.dsn


@asynccontextmanager
async def _streaming(
    properties: Mapping[str, str], bootstrap: str, directory: Path
) -> AsyncIterator[None]:
    """The engine, and what Debezium Server would do with its events."""
    engine = await asyncio.create_subprocess_exec(
        *(INTERPRETER, str(ENGINE)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        cwd=directory,
        limit=1 << 24,
    )
    assert engine.stdin is not None
    engine.stdin.write(json.dumps(properties).encode() + b"\n")
    forwarding = asyncio.create_task(_forward(engine, Producer(client(bootstrap))))
    try:
        yield
        assert not forwarding.done(), "the engine ended by itself"
    finally:
        engine.kill()
        await engine.wait()
        await forwarding


async def _forward(engine: asyncio.subprocess.Process, producer: Producer) -> None:
    assert engine.stdout is not None
    while line := await engine.stdout.readline():
        told = json.loads(line)
        headers = {name: value.encode() for name, value in told["headers"].items() if value}
        producer.produce(
            told["topic"], told["value"], told["key"], partition=0, headers=list(headers.items())
        )
        producer.flush(10)


def _row(**changed: Any) -> dict[str, Any]:
    said = {name: value for name, (_, _, value) in VALUES.items() if value is not ...} | changed
    return {name: _plain(value) for name, value in said.items()}


def _plain(value: Any) -> Any:
    if value is None:  # of `num`, which no float holds
        return float(COLUMNS["num"][1])
    return value


@pytest.mark.parametrize(("settings", "left_out", "otherwise"), CASES.values(), ids=CASES)
async def test_s11_what_the_real_engine_says_equals_the_table(
    kafka: KafkaAddress,
    customer: str,
    tmp_path: Path,
    settings: Mapping[str, str],
    left_out: Sequence[str],
    otherwise: Mapping[str, Any],
) -> None:
    columns = {name: said for name, said in VALUES.items() if name not in left_out}
    literals = ", ".join(literal for _, literal, _ in columns.values())
    await execute(
        customer,
        "create schema crm",
        "create type mood as enum ('good', 'bad')",
        "create domain positive as integer check (value > 0)",
        "create table crm.types (id bigint primary key, "
        + ", ".join(f"{name} {type_}" for name, (type_, _, _) in columns.items())
        + ")",
        "alter table crm.types alter column note set storage external",
        f"insert into crm.types values (1, {literals})",
    )
    recreate_topics(kafka.bootstrap, [TOPIC], 1)
    is_flat = "transforms" in settings
    schemaless = settings["schemas"] == "false"
    source = Source(
        kafka.bootstrap,
        None,
        DebeziumSource(
            id="clinic",
            type="debezium",
            topics=(TOPIC.name,),
            format="debezium_flat" if is_flat else "debezium",
            max_delete_share=1,
        ),
        [
            Model.model_validate(
                {
                    "id": "types",
                    "source": "clinic",
                    "relation": "crm.types",
                    "rows": "profile",
                    "identifiers": {"row": "$row"},
                    "columns": {name: name for name in columns},
                    "types": {n: t for n, t in TYPES.items() if schemaless and n in columns},
                }
            )
        ],
    )
    digests, row = Digests(TENANT_KEY), _row(**otherwise)

    def holds(expected: Mapping[int, Mapping[str, Any]]) -> Callable[[], bool]:
        wanted = {digests.key({"id": id_}): row for id_, row in expected.items()}

        def is_equal() -> bool:
            replica.read()
            assert replica.letters == []
            return replica.rows(source.models[0]) == wanted

        return is_equal

    with closing(Replica(source, tmp_path / "replica", TOPIC.name)) as replica:
        async with _streaming(_properties(customer, tmp_path, settings), kafka.bootstrap, tmp_path):
            await until(holds({1: row}), "the snapshot")
            await execute(
                customer,
                *(f"insert into crm.types values ({n}, {literals})" for n in (2, 3, 5, 6)),
                "update crm.types set i2 = 5, t = null where id = 2",
                "update crm.types set id = 4 where id = 3",
                "delete from crm.types where id = 5",
                "update crm.types set empty = 'the note is not sent again' where id = 6",
            )
            changed = {
                1: row,
                2: _without(row | {"i2": 5}, "t"),
                4: _without(row, "note"),  # under its new key it was never sent
                6: row | {"empty": "the note is not sent again"},
            }
            await until(holds(changed), "insert, update, key change, delete, TOAST")
            await execute(customer, "truncate crm.types")
            if not is_flat:  # a flattened truncate says nothing
                await until(holds({}), "truncate")


def _without(row: dict[str, Any], name: str) -> dict[str, Any]:
    return {n: value for n, value in row.items() if n != name}
