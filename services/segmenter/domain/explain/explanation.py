"""Why one profile is in one segment or not."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, assert_never

from services.segmenter.domain.conditions.percent import explain as percent
from services.segmenter.domain.explain.kinds import KINDS
from services.segmenter.domain.explain.node import Node
from services.segmenter.domain.explain.reading import next_change
from services.segmenter.domain.explain.remembered import Remembered
from services.segmenter.domain.explain.smallest import smallest_change
from services.segmenter.domain.explain.words import Written
from services.segmenter.domain.segment import Segment, cycles
from services.segmenter.domain.tree import All, AnyOf, Asked, Bucket, Condition, InSegment, Not


@dataclass(frozen=True, slots=True)
class Explanation:
    """What follows from all that was applied to a profile, at one instant."""

    exists: bool
    """Whether anything was ever applied to it; without that it is in no segment."""
    holds: bool
    now: int
    tree: Node
    changes_at: int | None
    """When the condition changes by itself, if nothing else happens."""
    smallest: tuple[Node, ...] | None
    """The fewest leaves that would have to turn; None when none was found that can happen."""

    @property
    def member(self) -> bool:
        return self.exists and self.holds


def explain(
    segment: Segment, segments: Mapping[str, Segment], remembered: Remembered, now: int
) -> Explanation:
    """The segment's condition, asked of everything remembered, at stream time `now`."""
    tree = Explainer(segments, remembered, now).segment(segment)
    return Explanation(
        remembered.exists,
        tree.holds_at(now),
        now,
        tree,
        next_change(tree.holds_at, tree.edges(), now),
        smallest_change(tree, now),
    )


class Explainer:
    """Goes through a condition and through what was written, side by side."""

    def __init__(self, segments: Mapping[str, Segment], remembered: Remembered, now: int) -> None:
        self._segments = segments
        self._remembered = remembered
        self._now = now
        self._known: dict[str, Node] = {}
        self._circling = {name for circle in cycles(segments.values()) for name in circle}

    def segment(self, segment: Segment) -> Node:
        """The condition of a segment, one object however often it is referred to."""
        if segment.id not in self._known:
            self._known[segment.id] = self._node(segment.condition, segment.document["where"])
        return self._known[segment.id]

    def _node(self, condition: Condition, written: Written) -> Node:
        match condition:
            case All(members):
                return self._group("all", members, written["all"])
            case AnyOf(members):
                return self._group("any", members, written["any"])
            case Not(member):
                return Node("not", "not", members=(self._node(member, written["not"]),))
            case InSegment(segment_id):
                return self._reference(segment_id)
            case Bucket(share):
                reading = percent.explain(share, self._remembered.profile_id)
                return Node("leaf", percent.asks(written), share.key, reading=reading)
            case Asked(leaf):
                asks, explains = KINDS[type(leaf)]
                reading = explains(leaf, written, self._remembered, self._now)
                return Node("leaf", asks(written), leaf.key, reading=reading)
        assert_never(condition)

    def _group(self, kind: Any, members: tuple[Condition, ...], written: list[Any]) -> Node:
        pairs = zip(members, written, strict=True)
        return Node(kind, f"{kind} of", members=tuple(self._node(*pair) for pair in pairs))

    def _reference(self, segment_id: str) -> Node:
        """One that is not defined, or defined in a circle, never holds."""
        target = self._segments.get(segment_id)
        words = f"in segment {segment_id}"
        if target is None or segment_id in self._circling:
            return Node("in_segment", f"{words}, which is {'in a circle' if target else 'unknown'}")
        return Node("in_segment", words, members=(self.segment(target),))
