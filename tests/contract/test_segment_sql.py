"""The same statements on a real PostgreSQL name the same profiles as the naive evaluator."""

from decimal import Decimal
from random import Random
from typing import Any

import asyncpg
import pytest

from services.segmenter.domain.sql.condition import members, salts
from services.segmenter.domain.sql.rows import Rows
from services.segmenter.domain.sql.tables import COLUMNS, POSTGRESQL, statements
from tests.integration.conftest import PostgresAddress, postgres, postgres_server
from tests.unit.segmenter.sql_world import Crowd
from tests.unit.segmenter.test_sql_equals_naive import KINDS, Draw, segments

__all__ = ["postgres", "postgres_server"]


def rows_of(crowd: Crowd) -> Rows:
    """Everything that the tables hold of a crowd."""
    rows = Rows()
    wanted = {salt for each in crowd.conditions.values() for salt in salts(each, crowd.conditions)}
    for number, life in enumerate(crowd.lives(), start=1):
        rows.life(number, life)
        for salt in wanted:
            rows.salted(number, life.profile_id, salt)
    for partition, now in crowd.times.items():
        rows.add("clocks", partition, now)
    return rows


async def load(connection: Any, rows: Rows) -> None:
    """New tables with these rows."""
    await connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    for statement in statements(POSTGRESQL):
        await connection.execute(statement)
    for table, found in rows.tables.items():
        exact = [kind == "exact" for kind in COLUMNS[table].values()]
        records = [
            tuple(
                Decimal(value) if is_exact and value is not None else value
                for is_exact, value in zip(exact, row, strict=True)
            )
            for row in found
        ]
        await connection.copy_records_to_table(table, records=records)
    await connection.execute("CREATE INDEX ON fields (path, owner)")
    await connection.execute("ANALYZE")


@pytest.mark.parametrize(("leaf", "event"), KINDS, ids=("time", "values"))
async def test_s8_postgresql_equals_the_naive_evaluator(
    postgres: PostgresAddress, leaf: Draw, event: Draw
) -> None:
    rng = Random("postgresql")
    crowd = Crowd(rng, segments(rng, leaf), size=60)
    for _ in range(500):
        if rng.random() < 0.15:
            crowd.pass_time()
        crowd.happen(rng.randrange(58), event(rng))
    connection = await asyncpg.connect(postgres.dsn)
    try:
        await load(connection, rows_of(crowd))
        ids = dict(await connection.fetch("SELECT profile, id FROM known"))
        for name, condition in crowd.conditions.items():
            text, values = members(condition, crowd.conditions, POSTGRESQL)
            found = {ids[number] for (number,) in await connection.fetch(text, *values)}
            assert found == crowd.thought(name), crowd.wheres[name]
    finally:
        await connection.close()
