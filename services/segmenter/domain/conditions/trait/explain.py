"""The explanation: what the trait is, which write says so, and since when."""

from collections.abc import Iterator
from typing import Any

from schemas.predicates.spans import ALWAYS, END, NEVER, Span
from services.segmenter.domain.conditions.trait.leaf import SteadyTrait, Trait, Writes
from services.segmenter.domain.explain.reading import Evidence, Reading
from services.segmenter.domain.explain.remembered import Remembered
from services.segmenter.domain.explain.words import Written, compared, instant, length, value
from services.segmenter.domain.facts import Write, inside, slots


def asks(written: Written) -> str:
    """The leaf in words."""
    steady = f", for at least {written['for_at_least']}" if "for_at_least" in written else ""
    return f"{compared(written['trait'], written)}{steady}"


def explain(leaf: Trait, written: Written, remembered: Remembered, now: int) -> Reading:
    """The latest write, and when it compares as asked."""
    current = _current(leaf.path, remembered)
    start, end = leaf.comparison.span(_read(current, leaf.path)) or NEVER
    wanted = compared(written["trait"], written, holds=not start <= now < end)
    return Reading(
        found=_found(current, leaf.path),
        evidence=_evidence(current, written, leaf.path, (start, end)),
        holds_at=lambda t: start <= t < end,
        edges=(start, end),
        turn=wanted,
        waiting=f"{written['trait']} stays as it is",
    )


def explain_steady(
    leaf: SteadyTrait, written: Written, remembered: Remembered, now: int
) -> Reading:
    """The latest write, since when it has compared as asked, and until when it must."""
    history = _history(leaf, remembered)
    current = _current(leaf.path, remembered)
    start, end = leaf.comparison.span(_read(current, leaf.path)) or NEVER
    matches, is_true = start <= now < end, leaf.holds(history, now)
    wanted = compared(written["trait"], written, holds=not is_true)
    again = "" if is_true else f", and then for {written['for_at_least']}"
    return Reading(
        found=_found(current, leaf.path),
        evidence=_evidence(current, written, leaf.path, (start, end)),
        holds_at=lambda t: leaf.holds(history, t),
        edges=tuple(_edges(leaf, history, now)),
        turn=f"{wanted}{again}" if is_true or not matches else None,
        waiting=_waiting(leaf, written, history, now) if matches and not is_true else None,
    )


def _waiting(leaf: SteadyTrait, written: Written, history: Writes, now: int) -> str | None:
    until = leaf.next_change(history, now)
    if until is None:
        return None
    return f"{compared(written['trait'], written)} for {length(until - now)} more"


def _edges(leaf: SteadyTrait, history: Writes, now: int) -> Iterator[int]:
    edge = leaf.next_change(history, now)
    while edge is not None:
        yield edge
        edge = leaf.next_change(history, edge)


def _history(leaf: SteadyTrait, remembered: Remembered) -> Writes:
    """All writes, also those that no longer matter."""
    history = leaf.fresh()
    for slot in leaf.slots:
        for write in remembered.writes.get(slot, ()):
            leaf.record(history, slot, write, write.at)
    return history


def _current(path: tuple[str, ...], remembered: Remembered) -> tuple[str, Write] | None:
    """The slot and the write that say what the trait is."""
    traits = remembered.facts.traits
    written = [(slot, traits[slot]) for slot in slots(path) if slot in traits]
    return max(written, key=lambda each: each[1][:2], default=None)


def _read(current: tuple[str, Write] | None, path: tuple[str, ...]) -> Any:
    return None if current is None else inside(current[0], current[1].value, path)


def _found(current: tuple[str, Write] | None, path: tuple[str, ...]) -> str:
    if current is None:
        return "never written"
    found = _read(current, path)
    said = "it is not known" if found is None else f"it is {value(found)}"
    return f"{said} since {instant(current[1].at)}"


def _evidence(
    current: tuple[str, Write] | None, written: Written, path: tuple[str, ...], span: Span
) -> tuple[Evidence, ...]:
    if current is None:
        return ()
    _, write = current
    until = span[1] if span not in (ALWAYS, NEVER) and span[1] != END else None
    return (Evidence(write.at, write.message_id, written["trait"], _read(current, path), until),)
