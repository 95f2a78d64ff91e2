"""A segment: its identity, its state and its condition."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from schemas.predicates.shape import ROOT, Piece
from schemas.predicates.words import unknown_word
from schemas.problems import Invalid, Problem
from schemas.records import State
from services.segmenter.domain.conditions.leaf import Leaf
from services.segmenter.domain.parse import SEGMENT_ID, parse_condition
from services.segmenter.domain.tree import Asked, Condition, InSegment, ends

KEYS = ("kind", "id", "name", "description", "where")
NOT_WRITTEN: Mapping[str, str] = {
    "state": "is not written in a file; `afflux segment pause` and `resume` change it",
    "version": "is not written in a file; `afflux apply` counts it",
}
"""What a segment has without anybody writing it down."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One version of one segment."""

    id: str
    version: int
    state: State
    condition: Condition
    document: Mapping[str, Any]
    """As it was written."""

    @property
    def leaves(self) -> tuple[Leaf[Any], ...]:
        """Its own leaves, without those of the segments it refers to."""
        return tuple(end.leaf for end in ends(self.condition) if isinstance(end, Asked))


def parse_segment(document: Mapping[str, Any], *, version: int, state: State) -> Segment:
    """The segment in a workspace document.

    Raises:
        Invalid: with every problem and its place; places in the condition start below `where`.
    """
    problems = _frame_problems(document)
    condition: Condition | None = None
    if "where" in document:
        condition = parse_condition(Piece(document["where"], "", problems))
    else:
        problems.append(Problem(ROOT, "is missing"))
    if condition is not None and document.get("id") in _targets(condition):
        problems.append(Problem(ROOT, "refers to itself"))
    if problems or condition is None:
        raise Invalid(problems)
    return Segment(document["id"], version, state, condition, document)


def references(segment: Segment) -> frozenset[str]:
    """The segments whose conditions it asks for."""
    return _targets(segment.condition)


def cycles(segments: Iterable[Segment]) -> tuple[tuple[str, ...], ...]:
    """Groups of segments that refer to each other in a circle; each group is refused on save."""
    targets = {segment.id: references(segment) for segment in segments}
    reach = {segment_id: _reachable(segment_id, targets) for segment_id in targets}
    circles = {
        tuple(sorted(other for other in reach[one] if one in reach.get(other, ())))
        for one in targets
        if one in reach[one]
    }
    return tuple(sorted(circles))


def referred_first(targets: Mapping[str, frozenset[str]]) -> tuple[str, ...]:
    """The names in an order in which what is referred to comes before what refers to it."""
    order: dict[str, None] = {}
    entered: set[str] = set()

    def enter(name: str) -> None:
        if name in targets and name not in entered:
            entered.add(name)
            for target in sorted(targets[name]):
                enter(target)
            order[name] = None

    for name in targets:
        enter(name)
    return tuple(order)


def _reachable(start: str, targets: Mapping[str, frozenset[str]]) -> set[str]:
    seen: set[str] = set()
    ahead = list(targets[start])
    while ahead:
        here = ahead.pop()
        if here not in seen:
            seen.add(here)
            ahead.extend(targets.get(here, ()))
    return seen


def _targets(condition: Condition) -> frozenset[str]:
    return frozenset(end.segment_id for end in ends(condition) if isinstance(end, InSegment))


def _frame_problems(document: Mapping[str, Any]) -> list[Problem]:
    problems = [
        Problem(key, NOT_WRITTEN.get(key) or unknown_word("key", key, KEYS))
        for key in document
        if key not in KEYS
    ]
    if document.get("kind", "segment") != "segment":
        problems.append(Problem("kind", "must be segment"))
    segment_id = document.get("id")
    if type(segment_id) is not str or SEGMENT_ID.fullmatch(segment_id) is None:
        problems.append(Problem("id", "must be 1 to 64 of a-z, 0-9 and -, not beginning with -"))
    return problems + [
        Problem(key, "must be a text")
        for key in ("name", "description")
        if type(document.get(key, "")) is not str
    ]
