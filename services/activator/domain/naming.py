"""Which items of a request an answer names: by position, trace id, or value."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from services.activator.domain import matching
from services.activator.domain.answer import Answer
from services.activator.domain.contract import Contract, Row
from services.activator.domain.outcomes import whole


@dataclass(frozen=True, slots=True)
class Place:
    """Where an item stands in its request, and by what an answer may name it."""

    index: int
    action: str = ""
    """The operation of its changes."""
    array: str = ""
    """The array of the request that holds it, when there are several."""
    array_index: int = 0
    names: tuple[str, ...] = ()
    """Trace id, record id or identifiers as they were sent."""
    event: str | None = None
    is_remove: bool = False


def items_named(row: Row, answer: Answer, contract: Contract, places: Sequence[Place]) -> set[int]:
    """The positions in the request of the items that the row is about."""
    for source in _SOURCES:
        found = source(row, answer, contract, places)
        if found is not None:
            return found & {place.index for place in places}
    return set()


def _captured(
    row: Row, answer: Answer, contract: Contract, places: Sequence[Place]
) -> set[int] | None:
    caught = matching.captured(row, answer)
    if not caught:
        return None
    numbers = (whole(part) for part in caught)
    return {number - contract.index_base for number in numbers if number is not None}


def _by_index_field(
    row: Row, answer: Answer, contract: Contract, places: Sequence[Place]
) -> set[int] | None:
    field = (row.match or {}).get("index_field")
    return None if field is None else _integers(answer.named(field))


def _by_array(
    row: Row, answer: Answer, contract: Contract, places: Sequence[Place]
) -> set[int] | None:
    errors = [e for e in answer.all("errors[]") if isinstance(e, dict) and "input_array" in e]
    if not errors:
        return None
    named = [(error["input_array"], error.get("index")) for error in errors]
    return {place.index for place in places if (place.array, place.array_index) in named}


def _by_value(
    row: Row, answer: Answer, contract: Contract, places: Sequence[Place]
) -> set[int] | None:
    if row.item_values is not None:
        return _called(answer.all(row.item_values), places)
    codes = (row.match or {}).get("item_error_code")
    if codes is None:
        return None
    errors = [e for e in answer.all("errors[]") if isinstance(e, dict)]
    named = [
        e.get("email_address") for e in errors if matching.is_listed(e.get("error_code"), codes)
    ]
    return _called(named, places)


def _by_trace_id(
    row: Row, answer: Answer, contract: Contract, places: Sequence[Place]
) -> set[int] | None:
    if row.outcome != "ITEM_BY_TRACE_ID_PERMANENT":
        return None
    return _called(answer.all("errors[].context.objectWriteTraceId[]"), places)


def _by_success(
    row: Row, answer: Answer, contract: Contract, places: Sequence[Place]
) -> set[int] | None:
    """Positional results, the failed ones by their flag or their status."""
    lines = answer.body if isinstance(answer.body, list) else answer.all("job_status.results[]")
    failed = {
        index
        for index, line in enumerate(lines)
        if isinstance(line, dict)
        and (line.get("success") is False or line.get("status") == "Failed")
    }
    return failed or None


_Source = Callable[[Row, Answer, Contract, Sequence[Place]], set[int] | None]
_SOURCES: Sequence[_Source] = (
    _captured,
    _by_index_field,
    _by_array,
    _by_trace_id,
    _by_value,
    _by_success,
)
"""Asked in turn; None from one that the row or the answer gives nothing for."""


def positioned_errors(answer: Answer) -> list[tuple[int, Any]]:
    """Google Ads: each error with the position of its item; without one it is the first."""
    if answer.first("partialFailureError") is None:
        return []
    errors = answer.all("partialFailureError.details[].errors[]")
    return [(_position(error), error) for error in errors if isinstance(error, dict)]


def _position(error: dict[str, Any]) -> int:
    location = error.get("location")
    path = location.get("fieldPathElements") if isinstance(location, dict) else None
    first = path[0] if isinstance(path, list) and path else None
    index = first.get("index") if isinstance(first, dict) else None
    return whole(str(index)) or 0


def _called(values: Iterable[Any], places: Sequence[Place]) -> set[int]:
    wanted = {_folded(str(value)) for value in values}
    return {p.index for p in places if wanted & {_folded(name) for name in p.names}}


def _folded(name: str) -> str:
    """Addresses may be echoed in another case; ids may not."""
    return name.lower() if "@" in name else name


def _integers(values: Iterable[Any]) -> set[int]:
    return {value for value in values if isinstance(value, int) and not isinstance(value, bool)}
