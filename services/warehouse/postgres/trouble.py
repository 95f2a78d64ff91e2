"""What the database's refusals mean: how long to wait, and when a person is needed."""

import random
import time
from collections.abc import Mapping
from types import MappingProxyType

import asyncpg
import psycopg

from services.runtime.stage import Blocked

AWAY: tuple[type[BaseException], ...] = (
    OSError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    psycopg.Error,
    TimeoutError,
)
"""Refusals of the server, and a server that is not there. `InternalClientError` is how asyncpg
stumbles when a session is ended in the middle of its own cleaning up."""

FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 60.0
MOST_DOUBLINGS = 10
"""After a thousand there is no such number."""
BLOCKED_AFTER_S = 15 * 60.0

_REASONS: Mapping[str, str] = MappingProxyType(
    {
        "55006": "the replication slot is in use elsewhere",
        "42501": "the role lacks a privilege: afflux source check",
        "28P01": "the password is wrong",
        "28000": "the role may not connect",
        "53300": "the database has no connection left",
        "57014": "the database cancelled a query that took too long",
    }
)
"""SQLSTATE → sentence."""
_FOR_A_PERSON: Mapping[str, str] = MappingProxyType(
    {"42501": "privilege_missing", "28P01": "access_denied", "28000": "access_denied"}
)


class Trouble:
    """Counts what goes wrong in a row."""

    def __init__(self) -> None:
        self.reason: str | None = None
        self._since: float | None = None
        self._count = 0

    def met(self, error: BaseException) -> float:
        """The seconds to wait before the next attempt.

        Raises:
            Blocked: waiting does not help.
        """
        now = time.monotonic()
        self._since = self._since if self._since is not None else now
        self._count += 1
        state = getattr(error, "sqlstate", None) or ""
        self.reason = _REASONS.get(state, f"the database is away ({state or type(error).__name__})")
        if state in _FOR_A_PERSON and now - self._since > BLOCKED_AFTER_S:
            raise Blocked(_FOR_A_PERSON[state], f"{self.reason}, for 15 minutes")
        wait = min(FIRST_WAIT_S * 2.0 ** min(self._count - 1, MOST_DOUBLINGS), LONGEST_WAIT_S)
        return wait * (0.75 + random.random() / 2)  # noqa: S311 (spreads retries)

    def over(self) -> None:
        """The database answers."""
        self.reason, self._since, self._count = None, None, 0
