"""What Snowflake's refusals mean: a person is needed, or try again."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType

from snowflake.connector.errors import Error, ProgrammingError

from services.runtime.stage import Blocked
from services.warehouse.domain.source import AGAIN, WITHOUT_HISTORY
from services.warehouse.patience import SourceAway


@contextmanager
def understood(relation: str) -> Iterator[None]:
    """Around every call of the library. No sentence holds Snowflake's own, which may quote a row.

    Raises:
        Blocked: waiting does not help; the reason says what a person has to look at.
        SourceAway: anything else.
    """
    try:
        yield
    except Error as error:
        raise _meaning(error, relation) from None
    except (OSError, TimeoutError) as error:
        raise SourceAway(f"no connection ({type(error).__name__})") from None


def blocked(reason: str, relation: str) -> Blocked:
    """For one of the reasons of `SENTENCES`."""
    return Blocked(reason, f"{relation}: {SENTENCES[reason]}")


def _meaning(error: Error, relation: str) -> Blocked | SourceAway:
    text = str(error.msg).lower()
    for mark, reason in _MARKS:
        if mark in text:
            return blocked(reason, relation)
    if any(mark in text for mark in _DENIED):
        return SourceAway("the credentials are refused", "28000")
    number, state = error.errno or 0, error.sqlstate or ""
    if number in _REASONS:
        return blocked(_REASONS[number], relation)
    if number == _INSUFFICIENT_PRIVILEGES:
        return SourceAway("the role lacks a privilege", "42501")
    if isinstance(error, ProgrammingError) and state[:2] in ("22", "42"):
        return blocked("query_refused", relation)
    return SourceAway(f"Snowflake says {number:06d} ({type(error).__name__})")


_MARKS: tuple[tuple[str, str], ...] = (
    ("time travel data is not available", "history_expired"),
    ("beyond the allowed time travel period", "history_expired"),
    ("change tracking", "tracking_missing"),
    ("result for query", "answer_gone"),
)
"""Part of the text, for several things share a number → reason."""
_DENIED = (
    "incorrect username or password",
    "jwt token is invalid",
    "user access disabled",
    "is not allowed to access snowflake",
)
_REASONS: Mapping[int, str] = MappingProxyType(
    {
        2003: "table_missing",
        2043: "table_missing",
        606: "warehouse_missing",
        709: "answer_gone",
    }
)
_INSUFFICIENT_PRIVILEGES = 3001

SENTENCES: Mapping[str, str] = MappingProxyType(
    {
        "table_missing": "there is no such table or view in the database of the source, or the role"
        " may not see it",
        "not_a_table": "it is a view, and the mode time_travel would compare it with itself: take"
        f" the mode changes, or model the tables behind it; {WITHOUT_HISTORY}",
        "history_expired": "changes that were not read yet are older than what the table keeps"
        f" (DATA_RETENTION_TIME_IN_DAYS): {AGAIN} and compared; {WITHOUT_HISTORY}",
        "tracking_disabled": "its change tracking is not enabled: its owner sets CHANGE_TRACKING;"
        f" {WITHOUT_HISTORY}",
        "tracking_missing": "its change tracking was off for a part of what was not read yet:"
        f" {AGAIN} and compared; {WITHOUT_HISTORY}",
        "warehouse_missing": "no warehouse runs the queries: name one in `warehouse` of the source,"
        " and grant the role its use",
        "answer_gone": "the answer to an earlier query is no longer kept",
        "query_refused": "Snowflake refuses the query: afflux source check",
    }
)
"""Reason → what it means, behind the relation."""
