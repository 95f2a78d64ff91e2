"""What BigQuery's refusals mean: a person is needed, or try again."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType

from google.api_core.exceptions import GoogleAPICallError, NotFound
from google.auth.exceptions import GoogleAuthError, TransportError

from services.runtime.stage import Blocked
from services.warehouse.domain.source import AGAIN, WITHOUT_HISTORY
from services.warehouse.patience import SourceAway


@contextmanager
def understood(relation: str) -> Iterator[None]:
    """Around every call of the library. No sentence holds BigQuery's own, which may quote a row.

    Raises:
        Blocked: waiting does not help; the reason says what a person has to look at.
        SourceAway: anything else.
    """
    try:
        yield
    except GoogleAPICallError as error:
        raise _meaning(error, relation) from None
    except TransportError as error:
        raise SourceAway(f"no connection ({type(error).__name__})") from None
    except GoogleAuthError as error:
        sentence = f"the credentials are refused ({type(error).__name__})"
        raise SourceAway(sentence, "28000") from None
    except (OSError, TimeoutError) as error:
        raise SourceAway(f"no connection ({type(error).__name__})") from None


def _meaning(error: GoogleAPICallError, relation: str) -> Blocked | SourceAway:
    code = _reason(error)
    if isinstance(error, NotFound):
        return Blocked("table_missing", f"{relation}: {_SENTENCES['table_missing']}")
    if code in _REFUSED:
        return _blocked(_REFUSED[code], relation)
    if code in _INVALID:
        text = str(error).lower()
        marked = (reason for mark, reason in _MARKS if mark in text)
        return _blocked(next(marked, "query_refused"), relation)
    return SourceAway(f"BigQuery says {code}", _SQLSTATES.get(code))


def _reason(error: GoogleAPICallError) -> str:
    """BigQuery's code for it, or HTTP's."""
    first = error.errors[0] if error.errors else None
    reason = first.get("reason") if isinstance(first, Mapping) else None
    return str(reason or error.code)


def _blocked(reason: str, relation: str) -> Blocked:
    return Blocked(reason, f"{relation}: {_SENTENCES[reason]}")


_INVALID = frozenset({"invalid", "invalidQuery", "400"})
_REFUSED: Mapping[str, str] = MappingProxyType(
    {
        "bytesBilledLimitExceeded": "bytes_limit",
        "resourcesExceeded": "interval_too_large",
        "responseTooLarge": "interval_too_large",
        "billingNotEnabled": "billing_disabled",
    }
)
_SQLSTATES: Mapping[str, str] = MappingProxyType(
    {"accessDenied": "42501", "403": "42501", "authError": "28000", "401": "28000"}
)
_MARKS: tuple[tuple[str, str], ...] = (
    ("invalid snapshot time", "history_expired"),
    ("no snapshot found", "history_expired"),
    ("time travel", "history_expired"),
    ("change_history", "history_disabled"),
    ("change history", "history_disabled"),
    ("bytes billed", "bytes_limit"),
    ("without a filter over", "partition_filter_required"),
)
"""Part of the text of what is called invalid → reason."""

_SENTENCES: Mapping[str, str] = MappingProxyType(
    {
        "table_missing": "there is no such table in the location of the source, or it may not be"
        " read",
        "history_expired": "history that was not read yet is older than the time travel window of"
        f" the dataset: {AGAIN}; {WITHOUT_HISTORY}",
        "history_disabled": "the table keeps no change history: its owner sets the option"
        f" enable_change_history; where the source was read before, {AGAIN}; {WITHOUT_HISTORY}",
        "partition_filter_required": "the table refuses queries without a filter on its partitions:"
        " its owner clears the option require_partition_filter",
        "bytes_limit": "a query reads more than maximum_bytes_billed of the source: raise it, or"
        " shorten step_seconds",
        "interval_too_large": "an interval is more than BigQuery can sort: shorten step_seconds",
        "billing_disabled": "the project of the source has no billing account",
        "query_refused": "BigQuery refuses the query: afflux source check",
    }
)


def history_expired(relation: str) -> Blocked:
    """What was not read yet is older than what is kept."""
    return _blocked("history_expired", relation)


def history_disabled(relation: str) -> Blocked:
    """Nothing is kept."""
    return _blocked("history_disabled", relation)
