"""Databricks' own library: a session of one look, of which every call runs in a thread."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from types import MappingProxyType
from typing import Any, TypeVar

from databricks import sql

from services.runtime.secrets import resolve
from services.runtime.stage import Blocked
from services.warehouse.databricks.trouble import understood
from services.warehouse.domain.source import DatabricksSource
from services.warehouse.patience import SourceAway
from services.warehouse.threads import CANCEL_S, in_thread

T = TypeVar("T")
Row = Sequence[Any]

CALL_S = 60
"""A call of HTTP takes no longer, nor is it repeated for longer; a query has a time of its own."""
ATTEMPTS = 2
FIRST_LOOK_S, LAST_LOOK_S = 0.02, 1.0
HTTPS = 443

MANNER: Mapping[str, Any] = MappingProxyType(
    {
        "user_agent_entry": "Afflux",
        "enable_telemetry": False,
        "use_cloud_fetch": False,
        "_disable_pandas": True,
        "_socket_timeout": CALL_S,
        "_retry_stop_after_attempts_count": ATTEMPTS,
        "_retry_stop_after_attempts_duration": CALL_S,
        "_retry_delay_max": 5,
    }
)
"""How the library behaves. Results come through the warehouse: from its storage they would need
PyArrow, and a way there."""


class Session:
    """Calls for one source; every one that fails says what that means (`understood`)."""

    def __init__(self, connection: Any, rows_at_once: int) -> None:
        self._connection = connection
        self._rows_at_once = rows_at_once

    async def named(self, statement: str, relation: str) -> Sequence[Mapping[str, Any]]:
        """The rows of a short answer, by the names of its columns.

        Raises:
            Blocked: waiting does not help.
            SourceAway: try again.
        """
        return [row.asDict() async for page in self.pages(statement, relation) for row in page]

    async def pages(self, statement: str, relation: str) -> AsyncIterator[Sequence[Any]]:
        """The rows of an answer, some at a time.

        Raises:
            Blocked: waiting does not help.
            SourceAway: try again.
        """
        cursor = self._connection.cursor(arraysize=self._rows_at_once)
        try:
            await _finished(cursor, statement, relation)
            await _call(relation, cursor.get_async_execution_result)
            while rows := await _call(relation, partial(cursor.fetchmany, self._rows_at_once)):
                yield rows
        finally:
            await _for_a_while(relation, cursor.close)


async def _finished(cursor: Any, statement: str, relation: str) -> None:
    """A query that nobody waits for any more is cancelled, for it costs."""
    try:
        await _call(relation, partial(cursor.execute_async, statement))
        wait = FIRST_LOOK_S
        while await _call(relation, cursor.is_query_pending):
            await asyncio.sleep(wait)
            wait = min(2 * wait, LAST_LOOK_S)
    except asyncio.CancelledError:
        await _for_a_while(relation, cursor.cancel)
        raise


@asynccontextmanager
async def session(source: DatabricksSource) -> AsyncIterator[Session]:
    """For one look.

    Raises:
        UnresolvedSecret: a reference points at nothing.
        SourceAway: try again.
        Blocked: there is no such warehouse.
    """
    connect = partial(sql.connect, **connection_parameters(source))
    connection = await _call(source.id, connect)
    try:
        yield Session(connection, source.rows_at_once)
    finally:
        await _for_a_while(source.id, connection.close)


def connection_parameters(source: DatabricksSource) -> Mapping[str, Any]:
    """What the library is given; secrets are in it.

    Raises:
        UnresolvedSecret: a reference points at nothing.
    """
    address = resolve(source.host).get_secret_value()
    host, _, port = address.removeprefix("https://").rstrip("/").partition(":")
    return {
        **MANNER,
        "server_hostname": host,
        "_port": int(port) if port.isdecimal() else HTTPS,
        "http_path": resolve(source.http_path).get_secret_value(),
        "access_token": resolve(source.token).get_secret_value(),
        "session_configuration": {
            "STATEMENT_TIMEOUT": str(source.query_timeout_s),
            "TIMEZONE": "UTC",
        },
    }


async def _for_a_while(relation: str, call: Callable[[], object]) -> None:
    with suppress(Blocked, SourceAway, TimeoutError):
        async with asyncio.timeout(CANCEL_S):
            await _call(relation, call)


async def _call(relation: str, call: Callable[[], T]) -> T:
    return await in_thread(partial(_understood, relation, call))


def _understood(relation: str, call: Callable[[], T]) -> T:
    with understood(relation):
        return call()
