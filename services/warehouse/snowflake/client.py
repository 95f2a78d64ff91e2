"""Snowflake's own library: a session of one look, of which every call runs in a thread."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, TypeVar
from urllib.parse import urlsplit

import snowflake.connector
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from snowflake.connector.constants import FIELD_ID_TO_NAME

from services.runtime.secrets import UnresolvedSecret, resolve
from services.runtime.stage import Blocked
from services.warehouse.domain.snowflake.names import folded, meant
from services.warehouse.domain.snowflake.statements import NOW, describe, show
from services.warehouse.domain.source import SnowflakeSource
from services.warehouse.patience import SourceAway
from services.warehouse.snowflake.trouble import blocked, understood
from services.warehouse.threads import CANCEL_S, in_thread

T = TypeVar("T")

SESSION: Mapping[str, str | bool] = MappingProxyType(
    {
        "ABORT_DETACHED_QUERY": True,
        "CLIENT_TELEMETRY_ENABLED": False,
        "DATE_INPUT_FORMAT": "AUTO",
        "TIMESTAMP_INPUT_FORMAT": "AUTO",
        "TIME_OUTPUT_FORMAT": "HH24:MI:SS.FF6",
        "QUOTED_IDENTIFIERS_IGNORE_CASE": False,
    }
)
"""What our statements rely on, whatever the account or the user has set."""
Row = Sequence[Any]

LOGIN_S = 30
CALL_S = 60
"""The library repeats a call of HTTP no longer than that; a query has a time of its own, and
Snowflake ends it by itself when nobody waits for it."""


@dataclass(frozen=True, slots=True)
class Found:
    """A table or view, as the catalog says."""

    address: tuple[str, ...]
    is_table: bool
    created: int
    """Microseconds since 1970."""
    kept_days: int | None
    """How far back time travel goes; None for a view, which does not say."""
    is_tracked: bool
    types: Mapping[str, str]
    """Column → type, both as the catalog writes them."""


class Session:
    """Calls for one source; every one that fails says what that means (`understood`)."""

    def __init__(self, connection: Any, rows_at_once: int) -> None:
        self._connection = connection
        self._rows_at_once = rows_at_once

    async def now(self) -> int:
        """Snowflake's clock, microseconds since 1970."""
        ((now,),) = await self._rows(NOW, "the clock")
        return int(now)

    async def table(self, address: Sequence[str], relation: str) -> Found:
        """
        Raises:
            Blocked: it is not there.
        """
        *schema, name = address
        known = tuple(folded(part) for part in schema)
        for kind in ("TABLES", "VIEWS"):
            shown = await self._named(show(kind, (*known, folded(name))), relation)
            by_name = {str(each["name"]): each for each in shown}
            if (there := meant(name, by_name)) is not None:
                return await self._found((*known, there), by_name[there], kind == "TABLES")
        raise blocked("table_missing", relation)

    async def _found(
        self, address: tuple[str, ...], shown: Mapping[str, Any], is_table: bool
    ) -> Found:
        described = await self._named(describe(address), ".".join(address))
        kept = shown.get("retention_time")
        return Found(
            address=address,
            is_table=is_table,
            created=round(shown["created_on"].timestamp() * 1_000_000),
            kept_days=None if kept in (None, "") else int(kept),
            is_tracked=str(shown.get("change_tracking")).upper() == "ON",
            types={str(each["name"]): str(each["type"]) for each in described},
        )

    async def pages(
        self, statement: str, relation: str, values: Sequence[str] = ()
    ) -> AsyncIterator[Sequence[Row]]:
        """The rows of an answer, some at a time; `values` are bound to `:1`, `:2` and so on.

        Raises:
            Blocked: waiting does not help.
            SourceAway: try again.
        """
        async for rows, _ in self.numbered(statement, relation, values):
            yield rows

    async def numbered(
        self, statement: str, relation: str, values: Sequence[str] = ()
    ) -> AsyncIterator[tuple[Sequence[Row], str]]:
        """The same with the name of the answer, under which Snowflake keeps it for a day."""
        cursor = self._connection.cursor()
        try:
            await _call(relation, partial(cursor.execute, statement, tuple(values) or None))
            while rows := await _call(relation, partial(cursor.fetchmany, self._rows_at_once)):
                yield rows, cursor.sfqid
        finally:
            cursor.close()

    async def described(self, statement: str, relation: str) -> Sequence[tuple[str, str]]:
        """Name and type of each column of an answer, of a statement that is not run."""
        cursor = self._connection.cursor()
        try:
            found = await _call(relation, partial(cursor.describe, statement))
        finally:
            cursor.close()
        return [(column.name, _type(column)) for column in found]

    async def _named(self, statement: str, relation: str) -> Sequence[Mapping[str, Any]]:
        cursor = self._connection.cursor(snowflake.connector.DictCursor)
        await _call(relation, partial(cursor.execute, statement))
        found: Sequence[Mapping[str, Any]] = await _call(relation, cursor.fetchall)
        return found

    async def _rows(self, statement: str, relation: str) -> Sequence[Row]:
        return [row async for page in self.pages(statement, relation) for row in page]


def _type(column: Any) -> str:
    """As DESCRIBE calls it."""
    name = FIELD_ID_TO_NAME[column.type_code]
    if name == "FIXED":
        return f"NUMBER({column.precision},{column.scale})"
    return _TYPES.get(name, name)


_TYPES: Mapping[str, str] = MappingProxyType({"REAL": "FLOAT", "TEXT": "VARCHAR"})
"""The library's name → Snowflake's."""


@asynccontextmanager
async def session(source: SnowflakeSource) -> AsyncIterator[Session]:
    """For one look.

    Raises:
        UnresolvedSecret: a reference to a secret points at nothing of use.
        SourceAway: try again.
    """
    connect = partial(snowflake.connector.connect, **connection_parameters(source))
    connection = await _call(source.id, connect)
    try:
        yield Session(connection, source.rows_at_once)
    finally:
        with suppress(Blocked, SourceAway, TimeoutError):
            async with asyncio.timeout(CANCEL_S):
                await _call(source.id, partial(connection.close, retry=False))


def connection_parameters(source: SnowflakeSource) -> Mapping[str, Any]:
    """What the library is given; secrets are in it.

    Raises:
        UnresolvedSecret: a reference points at nothing of use.
    """
    given = {
        "account": source.account,
        "user": source.user,
        "role": source.role,
        "warehouse": source.warehouse,
        "database": source.database,
        "paramstyle": "numeric",
        "login_timeout": LOGIN_S,
        "network_timeout": CALL_S,
        "client_prefetch_threads": 1,
        "platform_detection_timeout_seconds": 0.0,
        "log_imported_packages_in_telemetry": False,
        "application": "Afflux",
        "session_parameters": {
            **SESSION,
            "STATEMENT_TIMEOUT_IN_SECONDS": source.query_timeout_s,
            "QUERY_TAG": f"afflux:{source.id}",
        },
    }
    given = {**given, **_endpoint(source.endpoint), **_secrets(source)}
    return {name: value for name, value in given.items() if value is not None}


def _endpoint(address: str | None) -> Mapping[str, Any]:
    if address is None:
        return {}
    parts = urlsplit(address)
    return {"protocol": parts.scheme, "host": parts.hostname, "port": parts.port}


def _secrets(source: SnowflakeSource) -> Mapping[str, Any]:
    if source.private_key is None:
        return {"password": resolve(source.password or "").get_secret_value()}
    pem = resolve(source.private_key).get_secret_value()
    phrase = source.private_key_passphrase
    try:
        key = load_pem_private_key(
            pem.encode(), None if phrase is None else resolve(phrase).get_secret_value().encode()
        )
    except (ValueError, TypeError):
        raise UnresolvedSecret(
            "private_key: this is no private key in PEM, or its passphrase is another"
        ) from None
    return {"private_key": key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())}


async def _call(relation: str, call: Callable[[], T]) -> T:
    return await in_thread(partial(_understood, relation, call))


def _understood(relation: str, call: Callable[[], T]) -> T:
    with understood(relation):
        return call()
