"""Composite outcomes: each turns one row into readings of the items that it settles."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from services.activator.domain import matching
from services.activator.domain.answer import Answer
from services.activator.domain.contract import Row
from services.activator.domain.naming import Place, items_named
from services.activator.domain.outcomes import Outcome, Reading
from services.activator.domain.row_reading import (
    UNREADABLE_AT_MOST,
    Asked,
    everyone,
    of_row,
    reading_of,
    unreadable,
)

Composite = Callable[[Row, Answer, Asked], dict[int, Reading]]


def _split_then_permanent(row: Row, answer: Answer, asked: Asked) -> dict[int, Reading]:
    return everyone(asked, of_row(row, Outcome.SPLIT, answer, asked))


def _named_permanent_rest_resent(row: Row, answer: Answer, asked: Asked) -> dict[int, Reading]:
    """Nothing was applied."""
    named = items_named(row, answer, asked.contract, asked.places)
    if not named:
        return _split_then_permanent(row, answer, asked)
    bad = of_row(row, Outcome.PERMANENT, answer, asked)
    again = of_row(row, Outcome.RETRY, answer, asked)
    again = replace(again, reason="resent", at_once=True)
    return {place.index: bad if place.index in named else again for place in asked.places}


def _named_permanent(row: Row, answer: Answer, asked: Asked) -> dict[int, Reading]:
    """The request was applied, but for the items that are named."""
    bad = of_row(row, Outcome.PERMANENT, answer, asked)
    good = reading_of(Outcome.DELIVERED, "ok", answer, asked)
    named = items_named(row, answer, asked.contract, asked.places)
    found = {place.index: bad if place.index in named else good for place in asked.places}
    return found | _without_position(row, answer, asked, named)


def _without_position(
    row: Row, answer: Answer, asked: Asked, named: set[int]
) -> dict[int, Reading]:
    """An error that names no position: what each array of the request makes of it."""
    errors = [e for e in answer.all("errors[]") if isinstance(e, dict)]
    if not row.unindexed or all("index" in error for error in errors):
        return {}
    found: dict[int, Reading] = {}
    for place in asked.places:
        if place.index in named:
            continue
        if row.unindexed.get(place.array) == "RETRY":
            again = of_row(row, Outcome.RETRY, answer, asked)
            found[place.index] = replace(again, at_most=UNREADABLE_AT_MOST)
            continue
        sent = sum(1 for each in asked.places if each.array == place.array)
        if answer.first(f"{place.array}_processed") != sent:
            found[place.index] = Reading(Outcome.PERMANENT, "ambiguous_partial", answer.status)
    return found


def _by_value(row: Row, answer: Answer, asked: Asked) -> dict[int, Reading]:
    """Lists of values, each list with its own meaning."""
    return {place.index: _of_value(place, row, answer, asked) for place in asked.places}


def _of_value(place: Place, row: Row, answer: Answer, asked: Asked) -> Reading:
    lists = asked.contract.value_lists or {}
    if place.is_remove and _is_in(place, lists.get("delivered_on_remove", ()), answer):
        return reading_of(Outcome.DELIVERED, "not_found", answer, asked)
    if _is_in(place, lists.get("skipped", ()), answer):
        return reading_of(Outcome.SKIPPED, "gdpr_forgotten", answer, asked)
    by_event = lists.get("permanent_by_event_name", ())
    events = [name for path in by_event for name in answer.all(f"{path}[]")]
    if place.event in events or _is_in(place, lists.get("permanent", ()), answer):
        return of_row(row, Outcome.PERMANENT, answer, asked)
    return reading_of(Outcome.DELIVERED, "ok", answer, asked)


def _is_in(place: Place, paths: Sequence[str], answer: Answer) -> bool:
    listed = [value for path in paths for value in answer.all(f"{path}[]")]
    return any(_is_same(name, value) for name in place.names for value in listed)


def _is_same(name: str, value: Any) -> bool:
    """Addresses may be echoed in another case; ids may not."""
    text = str(value)
    return name.lower() == text.lower() if "@" in name else name == text


def _by_status(row: Row, answer: Answer, asked: Asked) -> dict[int, Reading]:
    """Every element carries a status of its own."""
    statuses = answer.all(row.item_status or "")
    found: dict[int, Reading] = {}
    for place in asked.places:
        status = statuses[place.index] if place.index < len(statuses) else None
        found[place.index] = _of_status(status, answer)
    return found


def _of_status(status: Any, answer: Answer) -> Reading:
    if not isinstance(status, int):
        return unreadable(answer)
    if 200 <= status <= 299:
        return Reading(Outcome.DELIVERED, "ok", status)
    if status == 429:
        return Reading(Outcome.THROTTLED, "item_throttled", status)
    if status >= 500:
        return Reading(Outcome.RETRY, "item_error", status)
    return Reading(Outcome.PERMANENT, "item_refused", status)


def _matching_items(outcome: Outcome) -> Composite:
    """Items whose own codes the row lists; the others are left to the rows that follow."""

    def read(row: Row, answer: Answer, asked: Asked) -> dict[int, Reading]:
        wanted = (row.match or {}).get("any_item_code", ())
        reading = of_row(row, outcome, answer, asked)
        found = {}
        for place in asked.places:
            codes = [c for c in _item_codes(answer, place.index) if matching.is_listed(c, wanted)]
            if codes:
                found[place.index] = reading
        return found

    return read


def _item_codes(answer: Answer, index: int) -> list[Any]:
    return answer.all(f"[{index}].errors[].statusCode")


def _with_id(row: Row, answer: Answer, asked: Asked) -> dict[int, Reading]:
    """The platform knows the profile under an id of its own: repeat as an update of that."""
    found_id = answer.first(row.id_from) if row.id_from else None
    caught = matching.captured(row, answer)
    vendor_id = str(found_id) if found_id else caught[0] if caught else None
    reading = of_row(row, Outcome.RETRY, answer, asked)
    if vendor_id is None:
        return everyone(asked, replace(reading, outcome=Outcome.PERMANENT))
    return everyone(asked, replace(reading, at_once=True, vendor_id=vendor_id))


def _upsert_first(row: Row, answer: Answer, asked: Asked) -> dict[int, Reading]:
    """The profile is not there: make it, then once more; there is nothing to remove from."""
    again = replace(of_row(row, Outcome.RETRY, answer, asked), at_once=True, upsert=True)
    gone = reading_of(Outcome.DELIVERED, "not_found", answer, asked)
    if row.items_from is not None:
        named = {str(value) for value in answer.all(f"{row.items_from}[]")}
        concerned = [p for p in asked.places if named & set(p.names)]
    elif row.applies_to == ("poll",):
        listed = _failed_lines(row, answer)
        concerned = [p for p in asked.places if p.index in listed]
    else:
        concerned = list(asked.places)
    return {place.index: gone if place.is_remove else again for place in concerned}


def _failed_lines(row: Row, answer: Answer) -> set[int]:
    """Positions of the results of a job whose texts the row speaks of."""
    alone = replace(row, http=(), applies_to=())
    return {
        index
        for index, line in enumerate(answer.all("job_status.results[]"))
        if matching.fits(alone, answer.part(line), body_alone=True)
    }


def _retry_then_config(row: Row, answer: Answer, asked: Asked) -> dict[int, Reading]:
    """A new audience is not there at once; an old one that is missing is a fault."""
    window = timedelta(seconds=row.window_s or 0)
    is_new = asked.audience_age is not None and asked.audience_age < window
    outcome = Outcome.RETRY if is_new else Outcome.CONFIG
    return everyone(asked, of_row(row, outcome, answer, asked))


COMPOSITES: Mapping[str, Composite] = {
    "SPLIT_THEN_PERMANENT": _split_then_permanent,
    "ITEM_PERMANENT_REST_RESENT": _named_permanent_rest_resent,
    "ITEM_BY_INDEX_PERMANENT": _named_permanent,
    "ITEM_BY_ARRAY_INDEX_PERMANENT": _named_permanent,
    "ITEM_BY_TRACE_ID_PERMANENT": _named_permanent,
    "ITEM_BY_VALUE_PERMANENT": _named_permanent,
    "ITEM_BY_VALUE": _by_value,
    "ITEM_BY_STATUS": _by_status,
    "ITEM_RETRY": _matching_items(Outcome.RETRY),
    "ITEM_CONFIG": _matching_items(Outcome.CONFIG),
    "RETRY_WITH_ID": _with_id,
    "UPSERT_THEN_RETRY_ONCE": _upsert_first,
    "RETRY_THEN_CONFIG": _retry_then_config,
}
