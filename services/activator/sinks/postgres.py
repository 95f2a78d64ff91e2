"""Writes to tables of the customer's PostgreSQL, a batch a transaction; no row goes back."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import asyncpg

from services.activator.client import AddressRefused, is_public
from services.activator.destinations.postgres import Settings
from services.activator.domain.outcomes import Failure, Outcome, Response
from services.activator.domain.requests import Request, as_json

TIMEOUT_S = 30.0
CREATE = """
create table if not exists {schema}.cdp_memberships (
    audience_id text, profile_id text, member bool, version bigint, changed_at timestamptz,
    primary key (audience_id, profile_id));
create table if not exists {schema}.cdp_profiles (
    profile_id text primary key, traits jsonb, version bigint, updated_at timestamptz);
create table if not exists {schema}.cdp_events (
    event_id text primary key, profile_id text, name text, occurred_at timestamptz,
    properties jsonb)
"""
THERE = "select to_regclass(name) from unnest($1::text[]) as t(name)"
STATEMENTS: Mapping[str, str] = {
    "cdp_memberships": """
insert into {schema}.cdp_memberships as t (audience_id, profile_id, member, version, changed_at)
select * from unnest($1::text[], $2::text[], $3::bool[], $4::bigint[], $5::timestamptz[])
on conflict (audience_id, profile_id) do update set
    member = excluded.member, version = excluded.version, changed_at = excluded.changed_at
where excluded.version > t.version""",
    "cdp_profiles": """
insert into {schema}.cdp_profiles as t (profile_id, traits, version, updated_at)
select p, j::jsonb, v, u
from unnest($1::text[], $2::text[], $3::bigint[], $4::timestamptz[]) as r(p, j, v, u)
on conflict (profile_id) do update set
    traits = t.traits || excluded.traits, version = excluded.version,
    updated_at = excluded.updated_at
where excluded.version > t.version""",
    "cdp_events": """
insert into {schema}.cdp_events (event_id, profile_id, name, occurred_at, properties)
select i, p, n, o, j::jsonb
from unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::text[]) as r(i, p, n, o, j)
on conflict (event_id) do nothing""",
}
DELETE = """
delete from {schema}.cdp_memberships t using unnest($1::text[], $2::text[], $3::bigint[])
    as r(audience_id, profile_id, version)
where t.audience_id = r.audience_id and t.profile_id = r.profile_id and r.version > t.version
"""


class PostgresSink:
    """A small pool; the tables are made with the first batch."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._pool: Any = None
        self._one_at_a_time = asyncio.Lock()

    async def close(self) -> None:
        if self._pool is not None:
            await self._pool.close()

    async def send(self, request: Request) -> Response | Failure:
        """The rows, committed; an error of the database as its SQLSTATE."""
        body = json.loads(request.content)
        try:
            async with asyncio.timeout(TIMEOUT_S):
                pool = await self._connected()
                async with pool.acquire() as connection, connection.transaction():
                    await connection.execute(*_statement(body))
        except AddressRefused:
            return Failure(Outcome.CONFIG, "address_refused")
        except asyncpg.ClientConfigurationError:
            return Failure(Outcome.CONFIG, "invalid_url")
        except asyncpg.PostgresError as error:
            return Response(400, {}, as_json({"sqlstate": error.sqlstate or ""}))
        except TimeoutError:
            return Failure(Outcome.RETRY, "timeout")
        except (OSError, asyncpg.InterfaceError):
            return Failure(Outcome.RETRY, "connection_error")
        return Response(200, {})

    async def _connected(self) -> Any:
        async with self._one_at_a_time:
            if self._pool is None:
                self._pool = await self._opened()
            return self._pool

    async def _opened(self) -> Any:
        pool = await asyncpg.create_pool(
            self._settings.dsn.get_secret_value(), min_size=0, max_size=4, init=self._check
        )
        try:
            await _make_tables(pool, _quoted(self._settings.schema_name))
        except BaseException:
            pool.terminate()
            raise
        return pool

    async def _check(self, connection: Any) -> None:
        """The address that was connected to, whatever its name says."""
        peer = connection._transport.get_extra_info("peername")
        is_inside = not isinstance(peer, tuple) or not is_public(str(peer[0]))
        if is_inside and not self._settings.allow_private:
            raise AddressRefused("not a public address")


async def _make_tables(pool: Any, schema: str) -> None:
    """Where they are not there: who may write them need not be allowed to make them."""
    names = [f"{schema}.{table}" for table in STATEMENTS]
    if None in [row[0] for row in await pool.fetch(THERE, names)]:
        await pool.execute(CREATE.format(schema=schema))


def _statement(body: Mapping[str, Any]) -> tuple[Any, ...]:
    """The statement and its values, a column each."""
    rows, schema = body["rows"], _quoted(body["schema"])
    if body["delete"]:
        columns = _columns(rows, ("audience_id", "profile_id", "version"))
        return (DELETE.format(schema=schema), *columns)
    return (STATEMENTS[body["table"]].format(schema=schema), *_VALUES[body["table"]](rows))


def _memberships(rows: Sequence[Mapping[str, Any]]) -> list[list[Any]]:
    columns = _columns(rows, ("audience_id", "profile_id", "member", "version"))
    return [*columns, _instants(rows)]


def _profiles(rows: Sequence[Mapping[str, Any]]) -> list[list[Any]]:
    traits = [as_json(row["traits"]).decode() for row in rows]
    ids, versions = _columns(rows, ("profile_id", "version"))
    return [ids, traits, versions, _instants(rows)]


def _events(rows: Sequence[Mapping[str, Any]]) -> list[list[Any]]:
    properties = [as_json(row["properties"]).decode() for row in rows]
    columns = _columns(rows, ("event_id", "profile_id", "name"))
    return [*columns, _instants(rows), properties]


_VALUES = {"cdp_memberships": _memberships, "cdp_profiles": _profiles, "cdp_events": _events}


def _columns(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[list[Any]]:
    return [[row[name] for row in rows] for name in names]


def _instants(rows: Sequence[Mapping[str, Any]]) -> list[datetime]:
    return [datetime.fromisoformat(row["occurred_at"]) for row in rows]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
