"""Whether a source can be read: what its administrator is asked for, and what is missing."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from services.runtime.secrets import resolve
from services.runtime.stage import Blocked
from services.warehouse.delta import opening as delta
from services.warehouse.domain.asked import DEBEZIUM, Asked, Setup
from services.warehouse.domain.model import Model
from services.warehouse.domain.source import (
    BigQuerySource,
    DatabricksSource,
    DebeziumSource,
    DeltaSource,
    PostgresSource,
    SnowflakeSource,
    SqlSource,
    WarehouseSource,
)
from services.warehouse.extras import extra
from services.warehouse.postgres.asked import asked
from services.warehouse.postgres.checks import problems
from services.warehouse.postgres.connection import open_session
from services.warehouse.postgres.trouble import AWAY, Trouble
from services.warehouse.sql import checks as sql


@dataclass(frozen=True, slots=True)
class Check:
    """All that can be said of a source before it is read."""

    asked: Sequence[Asked]
    found: Sequence[Setup] | None
    """None where nothing could be looked at."""


async def check(source: WarehouseSource, models: Sequence[Model]) -> Check:
    """Look at the source with the rights that it would be read with; nothing is changed.

    Raises:
        UnresolvedSecret: a reference points at nothing.
    """
    match source:
        case DebeziumSource():
            return Check(DEBEZIUM, None)
        case PostgresSource():
            return await _postgres(source, models)
        case DeltaSource():
            statements = tuple(delta.asked(source, models))
            return Check(statements, await asyncio.to_thread(_delta, source, models))
        case DatabricksSource():
            return await _databricks(source, models)
        case BigQuerySource():
            return await _bigquery(source, models)
        case SnowflakeSource():
            return await _snowflake(source, models)
        case SqlSource():
            found = await sql.problems(source, models)
            return Check(tuple(sql.asked(source)), found)
        case _:
            raise TypeError(f"{source.type} cannot be checked")


def _delta(source: DeltaSource, models: Sequence[Model]) -> Sequence[Setup]:
    return tuple(delta.problems(source, models))


async def _databricks(source: DatabricksSource, models: Sequence[Model]) -> Check:
    try:
        with extra("databricks"):
            from services.warehouse.databricks import opening as databricks  # noqa: PLC0415
    except Blocked as blocked:
        return Check((), (Setup(blocked.reason, str(blocked), "install it"),))
    statements = tuple(databricks.asked(source, models))
    return Check(statements, await databricks.problems(source, models))


async def _bigquery(source: BigQuerySource, models: Sequence[Model]) -> Check:
    try:
        with extra("bigquery"):
            from services.warehouse.bigquery import opening as bigquery  # noqa: PLC0415
    except Blocked as blocked:
        return Check((), (Setup(blocked.reason, str(blocked), "install it"),))
    looked_at = sql.problems if source.is_asked else bigquery.problems
    return Check(tuple(bigquery.asked(source, models)), await looked_at(source, models))


async def _snowflake(source: SnowflakeSource, models: Sequence[Model]) -> Check:
    try:
        with extra("snowflake"):
            from services.warehouse.snowflake import opening as snowflake  # noqa: PLC0415
    except Blocked as blocked:
        return Check((), (Setup(blocked.reason, str(blocked), "install it"),))
    looked_at = sql.problems if source.is_asked else snowflake.problems
    return Check(tuple(snowflake.asked(source, models)), await looked_at(source, models))


async def _postgres(source: PostgresSource, models: Sequence[Model]) -> Check:
    role = urlsplit(resolve(source.dsn).get_secret_value()).username or "afflux"
    statements = tuple(asked(source, models, role))
    try:
        session = await open_session(source.dsn)
    except AWAY as error:
        trouble = Trouble()
        trouble.met(error)
        sentence = f"the database cannot be reached: {trouble.reason}"
        remedy = "mend `dsn` of the source, or let the role in"
        return Check(statements, (Setup("unreachable", sentence, remedy),))
    try:
        return Check(statements, await problems(session, source, models))
    finally:
        await session.close()
