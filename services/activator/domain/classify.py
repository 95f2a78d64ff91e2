"""What an answer means for each item of its request: transport, then body, then status."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from services.activator.domain import matching
from services.activator.domain.answer import Answer
from services.activator.domain.composites import COMPOSITES
from services.activator.domain.contract import Row
from services.activator.domain.naming import Place, items_named, positioned_errors
from services.activator.domain.outcomes import Failure, Outcome, Reading, Response, read_status
from services.activator.domain.row_reading import (
    Asked,
    everyone,
    of_row,
    reading_of,
    unreadable,
)

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


def readings(answered: Response | Failure, asked: Asked, *, poll: bool = False) -> list[Reading]:
    """One reading for each item, in the order of `asked.places`."""
    if isinstance(answered, Failure):
        return [Reading(answered.outcome, answered.reason)] * len(asked.places)
    answer = Answer(answered)
    if _is_page(answer, asked):
        is_refusal = answer.status == 401
        outcome = Outcome.AUTH if is_refusal else Outcome.RETRY
        return _same(asked, reading_of(outcome, "html_answer", answer, asked))
    was_taken = asked.contract.partial_errors_per_item and 200 <= answer.status <= 299
    if was_taken and (errors := positioned_errors(answer)):
        return _per_item(answer, asked, errors)
    return _by_rows(answer, asked, poll=poll)


def _by_rows(answer: Answer, asked: Asked, *, poll: bool) -> list[Reading]:
    """The first row that fits decides; one about some items leaves the others to the next."""
    settled: dict[int, Reading] = {}
    if asked.endpoint.not_found_is and answer.status == 404:
        return _same(asked, reading_of(Outcome.DELIVERED, "not_found", answer, asked))
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
    return everyone(asked, of_row(row, _plain(row, answer, asked), answer, asked))


def _plain(row: Row, answer: Answer, asked: Asked) -> Outcome:
    """As the row says; but what was refused as a whole is there already for one item at most."""
    outcome = Outcome[row.outcome]
    was_refused = outcome is Outcome.DELIVERED and not 200 <= answer.status <= 299
    return Outcome.SPLIT if was_refused and len(asked.places) > 1 else outcome


def _same(asked: Asked, reading: Reading) -> list[Reading]:
    return [reading] * len(asked.places)


def _default(answer: Answer, asked: Asked) -> Reading:
    """Where the rows are silent: the status, if the body keeps the promise of a success."""
    if not 200 <= answer.status <= 299:
        found = read_status(answer.response, asked.now)
        splits = 400 <= answer.status <= 499 and found.outcome is Outcome.PERMANENT
        return replace(found, outcome=Outcome.SPLIT) if splits else found
    endpoint = asked.endpoint
    if endpoint.success and answer.status not in endpoint.success:
        return unreadable(answer)
    if endpoint.success_text is not None and answer.text != endpoint.success_text:
        return Reading(Outcome.PERMANENT, "unexpected_answer", answer.status)
    is_bare = endpoint.promises is None or answer.status in endpoint.bare
    if not is_bare and not _keeps(str(endpoint.promises), answer):
        return unreadable(answer)
    return _success(answer, asked)


def _success(answer: Answer, asked: Asked) -> Reading:
    is_queued = asked.endpoint.results == "async_job" or asked.endpoint.accepted_only
    return Reading(Outcome.ACCEPTED if is_queued else Outcome.DELIVERED, "ok", answer.status)


def _keeps(promise: str, answer: Answer) -> bool:
    """A body that is an object or a list (`json`), or that holds a path."""
    if promise == "json":
        return isinstance(answer.body, dict | list)
    return bool(answer.all(promise))


def _is_page(answer: Answer, asked: Asked) -> bool:
    """HTML where something else is due; a platform that answers in words may call them HTML."""
    if asked.endpoint.success_text is not None:
        return answer.begins_as_html
    awaits_json = asked.endpoint.promises is not None or asked.contract.category != "generic"
    return awaits_json and answer.is_html


def _listed_items(row: Row, answer: Answer, asked: Asked) -> dict[int, Reading]:
    """A plain outcome for the items that carry the code, each judged alone."""
    reading = of_row(row, Outcome[row.outcome], answer, asked)
    return dict.fromkeys(items_named(row, answer, asked.contract, asked.places), reading)
