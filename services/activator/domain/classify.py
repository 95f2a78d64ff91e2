"""What an answer means for each item of its request: transport, then body, then status."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from services.activator.domain import matching
from services.activator.domain.answer import Answer
from services.activator.domain.contract import Contract, Endpoint, Row
from services.activator.domain.naming import Place, items_named, positioned_errors
from services.activator.domain.outcomes import Failure, Outcome, Reading, Response, read_status

GRAVITY = (
    Outcome.DELIVERED,
    Outcome.ACCEPTED,
    Outcome.SKIPPED,
    Outcome.RETRY,
    Outcome.THROTTLED,
    Outcome.SPLIT,
    Outcome.PERMANENT,
    Outcome.AUTH,
    Outcome.CONFIG,
)
"""From the lightest to the gravest."""
UNREADABLE_AT_MOST = 3
"""An answer that says nothing is asked for so many times more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The request that was answered."""

    contract: Contract
    endpoint: Endpoint
    places: Sequence[Place]
    now: datetime
    audience_age: timedelta | None = None
    """Since the platform's audience was created by us."""

    @property
    def action(self) -> str:
        return self.endpoint.action


def readings(answered: Response | Failure, asked: Asked, *, poll: bool = False) -> list[Reading]:
    """One reading for each item, in the order of `asked.places`."""
    if isinstance(answered, Failure):
        return [Reading(answered.outcome, answered.reason)] * len(asked.places)
    answer = Answer(answered)
    if _is_page(answer, asked):
        is_refusal = answer.status == 401
        outcome = Outcome.AUTH if is_refusal else Outcome.RETRY
        return _same(asked, _reading(outcome, "html_answer", answer, asked))
    was_taken = asked.contract.partial_errors_per_item and 200 <= answer.status <= 299
    if was_taken and (errors := positioned_errors(answer)):
        return _per_item(answer, asked, errors)
    return _by_rows(answer, asked, poll=poll)


def _by_rows(answer: Answer, asked: Asked, *, poll: bool) -> list[Reading]:
    """The first row that fits decides; one about some items leaves the others to the next."""
    settled: dict[int, Reading] = {}
    if asked.endpoint.not_found_is and answer.status == 404:
        return _same(asked, _reading(Outcome.DELIVERED, "not_found", answer, asked))
    for row in asked.contract.errors:
        left = [
            p for p in asked.places if p.index not in settled and _concerns(row, p, asked, poll)
        ]
        if left and matching.fits(row, answer, body_alone=asked.contract.body_code_first):
            settled |= _read(row, answer, replace(asked, places=left))
    rest = _default(answer, asked)
    return [settled.get(place.index, rest) for place in asked.places]


def _concerns(row: Row, place: Place, asked: Asked, poll: bool) -> bool:
    return matching.concerns(row, "poll" if poll else place.action or asked.action)


def _per_item(answer: Answer, asked: Asked, errors: Sequence[tuple[int, Any]]) -> list[Reading]:
    """Each error gives the outcome of its item; of several the worst, of none success."""
    found: dict[int, Reading] = {}
    for index, error in errors:
        one = replace(asked, places=[place for place in asked.places if place.index == index])
        for reading in _of_error(answer.part(error), one):
            known = found.get(index)
            found[index] = reading if known is None else worst(known, reading)
    return [found.get(place.index, _success(answer, asked)) for place in asked.places]


def _of_error(error: Answer, asked: Asked) -> list[Reading]:
    """An error that no row knows is about its item alone."""
    for row in asked.contract.errors:
        if row.match and matching.fits(row, error, body_alone=True):
            return [*_read(row, error, asked).values()]
    return _same(asked, Reading(Outcome.PERMANENT, "item_refused", error.status))


def worst(one: Reading, other: Reading) -> Reading:
    """The graver of two readings of one item."""
    return max(one, other, key=lambda reading: GRAVITY.index(reading.outcome))


def _read(row: Row, answer: Answer, asked: Asked) -> dict[int, Reading]:
    if row.match and "item_error_code" in row.match and row.outcome in Outcome.__members__:
        return _listed_items(row, answer, asked)
    composite = COMPOSITES.get(row.outcome)
    if composite is not None:
        return composite(row, answer, asked)
    return _everyone(asked, _of_row(row, _plain(row, answer, asked), answer, asked))


def _plain(row: Row, answer: Answer, asked: Asked) -> Outcome:
    """As the row says; but what was refused as a whole is there already for one item at most."""
    outcome = Outcome[row.outcome]
    was_refused = outcome is Outcome.DELIVERED and not 200 <= answer.status <= 299
    return Outcome.SPLIT if was_refused and len(asked.places) > 1 else outcome


def _everyone(asked: Asked, reading: Reading) -> dict[int, Reading]:
    return {place.index: reading for place in asked.places}


def _same(asked: Asked, reading: Reading) -> list[Reading]:
    return [reading] * len(asked.places)


def _reading(outcome: Outcome, reason: str, answer: Answer, asked: Asked) -> Reading:
    default = read_status(answer.response, asked.now)
    return Reading(outcome, reason, answer.status, default.retry_after)


def _of_row(row: Row, outcome: Outcome, answer: Answer, asked: Asked) -> Reading:
    found = _reading(outcome, row.name, answer, asked)
    if row.retry_after_s is not None:
        found = replace(found, retry_after=timedelta(seconds=row.retry_after_s))
    if row.pause_s is not None and found.retry_after is None:
        most = row.pause_most_s
        found = replace(
            found,
            retry_after=timedelta(seconds=row.pause_s),
            pause_most=None if most is None else timedelta(seconds=most),
        )
    if row.recheck_s is not None:
        found = replace(found, recheck=timedelta(seconds=row.recheck_s))
    return replace(found, may_refresh=row.refresh, until=row.until, max_age_s=row.max_age_s)


def _default(answer: Answer, asked: Asked) -> Reading:
    """Where the rows are silent: the status, if the body keeps the promise of a success."""
    if not 200 <= answer.status <= 299:
        found = read_status(answer.response, asked.now)
        splits = 400 <= answer.status <= 499 and found.outcome is Outcome.PERMANENT
        return replace(found, outcome=Outcome.SPLIT) if splits else found
    endpoint = asked.endpoint
    if endpoint.success and answer.status not in endpoint.success:
        return _unreadable(answer)
    if endpoint.success_text is not None and answer.text != endpoint.success_text:
        return Reading(Outcome.PERMANENT, "unexpected_answer", answer.status)
    is_bare = endpoint.promises is None or answer.status in endpoint.bare
    if not is_bare and not _keeps(str(endpoint.promises), answer):
        return _unreadable(answer)
    return _success(answer, asked)


def _success(answer: Answer, asked: Asked) -> Reading:
    is_queued = asked.endpoint.results == "async_job" or asked.endpoint.accepted_only
    return Reading(Outcome.ACCEPTED if is_queued else Outcome.DELIVERED, "ok", answer.status)


def _keeps(promise: str, answer: Answer) -> bool:
    """A body that is an object or a list (`json`), or that holds a path."""
    if promise == "json":
        return isinstance(answer.body, dict | list)
    return bool(answer.all(promise))


def _unreadable(answer: Answer) -> Reading:
    return Reading(Outcome.RETRY, "unreadable_answer", answer.status, at_most=UNREADABLE_AT_MOST)


def _is_page(answer: Answer, asked: Asked) -> bool:
    """HTML where something else is due; a platform that answers in words may call them HTML."""
    if asked.endpoint.success_text is not None:
        return answer.begins_as_html
    awaits_json = asked.endpoint.promises is not None or asked.contract.category != "generic"
    return awaits_json and answer.is_html


def _listed_items(row: Row, answer: Answer, asked: Asked) -> dict[int, Reading]:
    """A plain outcome for the items that carry the code, each judged alone."""
    reading = _of_row(row, Outcome[row.outcome], answer, asked)
    return dict.fromkeys(items_named(row, answer, asked.contract, asked.places), reading)


# Composite outcomes: each turns one row into readings of the items that it settles

Composite = Callable[[Row, Answer, Asked], dict[int, Reading]]


def _split_then_permanent(row: Row, answer: Answer, asked: Asked) -> dict[int, Reading]:
    return _everyone(asked, _of_row(row, Outcome.SPLIT, answer, asked))


def _named_permanent_rest_resent(row: Row, answer: Answer, asked: Asked) -> dict[int, Reading]:
    """Nothing was applied."""
    named = items_named(row, answer, asked.contract, asked.places)
    if not named:
        return _split_then_permanent(row, answer, asked)
    bad = _of_row(row, Outcome.PERMANENT, answer, asked)
    again = _of_row(row, Outcome.RETRY, answer, asked)
    again = replace(again, reason="resent", at_once=True)
    return {place.index: bad if place.index in named else again for place in asked.places}


def _named_permanent(row: Row, answer: Answer, asked: Asked) -> dict[int, Reading]:
    """The request was applied, but for the items that are named."""
    bad = _of_row(row, Outcome.PERMANENT, answer, asked)
    good = _reading(Outcome.DELIVERED, "ok", answer, asked)
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
            again = _of_row(row, Outcome.RETRY, answer, asked)
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
        return _reading(Outcome.DELIVERED, "not_found", answer, asked)
    if _is_in(place, lists.get("skipped", ()), answer):
        return _reading(Outcome.SKIPPED, "gdpr_forgotten", answer, asked)
    by_event = lists.get("permanent_by_event_name", ())
    events = [name for path in by_event for name in answer.all(f"{path}[]")]
    if place.event in events or _is_in(place, lists.get("permanent", ()), answer):
        return _of_row(row, Outcome.PERMANENT, answer, asked)
    return _reading(Outcome.DELIVERED, "ok", answer, asked)


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
        return _unreadable(answer)
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
        reading = _of_row(row, outcome, answer, asked)
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
    reading = _of_row(row, Outcome.RETRY, answer, asked)
    if vendor_id is None:
        return _everyone(asked, replace(reading, outcome=Outcome.PERMANENT))
    return _everyone(asked, replace(reading, at_once=True, vendor_id=vendor_id))


def _upsert_first(row: Row, answer: Answer, asked: Asked) -> dict[int, Reading]:
    """The profile is not there: make it, then once more; there is nothing to remove from."""
    again = replace(_of_row(row, Outcome.RETRY, answer, asked), at_once=True, upsert=True)
    gone = _reading(Outcome.DELIVERED, "not_found", answer, asked)
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
    return _everyone(asked, _of_row(row, outcome, answer, asked))


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
