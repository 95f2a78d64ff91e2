"""What Databricks' refusals mean: a person is needed, or try again."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType

from databricks.sql.exc import Error, RequestError
from urllib3.exceptions import HTTPError

from services.runtime.stage import Blocked
from services.warehouse.patience import SourceAway
from services.warehouse.versions import LOST, lost


@contextmanager
def understood(relation: str) -> Iterator[None]:
    """Around every call of the library. No sentence holds Databricks' own, which may quote a row.

    Raises:
        Blocked: waiting does not help; the reason says what a person has to look at.
        SourceAway: anything else.
    """
    try:
        yield
    except RequestError as error:
        raise _unanswered(error.context.get("http-code"), relation) from None
    except Error as error:
        raise _meaning(str(error), relation) from None
    except (HTTPError, OSError) as error:
        raise SourceAway(f"no connection ({type(error).__name__})") from None


def blocked(reason: str, relation: str) -> Blocked:
    """For one of the reasons of `SENTENCES` or `LOST`."""
    if reason in LOST:
        return lost(reason, relation)
    return Blocked(reason, f"{relation}: {SENTENCES[reason]}")


def _unanswered(code: int | None, relation: str) -> Blocked | SourceAway:
    """By the status of HTTP."""
    if code in (401, 403):
        return SourceAway("the token is refused", "28000")
    if code == 404:
        return blocked("warehouse_missing", relation)
    return SourceAway(f"no answer (HTTP {code})")


def _meaning(text: str, relation: str) -> Blocked | SourceAway:
    """By the error's condition, which stands in brackets, then by its SQLSTATE."""
    conditions = _CONDITION.search(text)
    whole, main = (conditions[0][1:-1], conditions[1]) if conditions else ("", "")
    if (reason := _REASONS.get(whole) or _REASONS.get(main)) is not None:
        return blocked(reason, relation)
    states = _STATE.search(text)
    state = states[1] if states else ""
    if state == "42501" or any(mark in text for mark in _DENIED):
        return SourceAway("the principal lacks a privilege", "42501")
    if any(mark in text.lower() for mark in _CUT_SHORT):
        return SourceAway("the query took too long, or somebody cancelled it", "57014")
    if state[:2] in ("22", "42") or main.startswith("DELTA_"):
        return Blocked("query_refused", f"{relation}: {SENTENCES['query_refused']} ({whole})")
    return SourceAway(f"Databricks says {whole or 'nothing that is known'}")


_CONDITION = re.compile(r"\[([A-Z][A-Z0-9_]+)(?:\.[A-Z0-9_]+)?\]")
_STATE = re.compile(r"SQLSTATE: ([0-9A-Z]{5})")
_DENIED = ("PERMISSION_DENIED", "INSUFFICIENT_PERMISSIONS")
_CUT_SHORT = ("timed out", "timeout", "operation status commandstate")
"""The last is the library's own, of a query that came to an end without a word."""

_CONDITIONS: Mapping[str, Sequence[str]] = MappingProxyType(
    {
        "table_missing": (
            "TABLE_OR_VIEW_NOT_FOUND",
            "SCHEMA_NOT_FOUND",
            "NO_SUCH_CATALOG_EXCEPTION",
            "REQUIRES_SINGLE_PART_NAMESPACE",
            "DELTA_TABLE_NOT_FOUND",
        ),
        "not_a_table": (
            "EXPECT_TABLE_NOT_VIEW",
            "DELTA_ONLY_OPERATION",
            "DELTA_TABLE_ONLY_OPERATION",
        ),
        "feed_disabled": ("DELTA_MISSING_CHANGE_DATA",),
        "version_missing": (
            "DELTA_VERSION_NOT_FOUND",
            "DELTA_LOG_FILE_NOT_FOUND",
            "DELTA_VERSIONS_NOT_CONTIGUOUS",
            "DELTA_TRUNCATED_TRANSACTION_LOG",
        ),
        "files_vacuumed": (
            "FAILED_READ_FILE.FILE_NOT_EXIST",
            "FAILED_READ_FILE.DBR_FILE_NOT_EXIST",
            "DELTA_FILE_NOT_FOUND",
            "DELTA_FILE_NOT_FOUND_DETAILED",
            "DELTA_CHANGE_DATA_FILE_NOT_FOUND",
            "DELTA_UNSUPPORTED_TIME_TRAVEL_BEYOND_DELETED_FILE_RETENTION_DURATION",
        ),
        "schema_changed": (
            "UNRESOLVED_COLUMN",
            "DELTA_CHANGE_DATA_FEED_INCOMPATIBLE_DATA_SCHEMA",
            "DELTA_CHANGE_DATA_FEED_INCOMPATIBLE_SCHEMA_CHANGE",
        ),
    }
)
"""Reason → conditions, with what is behind their dot or without it."""
_REASONS: Mapping[str, str] = MappingProxyType(
    {condition: reason for reason, found in _CONDITIONS.items() for condition in found}
)

SENTENCES: Mapping[str, str] = MappingProxyType(
    {
        "table_missing": "there is no such table in the catalog of the source, or the principal may"
        " not see it",
        "not_a_table": "it is no Delta table, and only those have a change data feed",
        "warehouse_missing": "there is no SQL warehouse behind `http_path` of the source",
        "query_refused": "Databricks refuses the query",
    }
)
"""Reason → what it means, behind the relation."""
