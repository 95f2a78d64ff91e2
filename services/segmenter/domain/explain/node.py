"""A condition explained: the same tree as it was written, with truths and reasons."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, assert_never

from services.segmenter.domain.explain.reading import Reading

Kind = Literal["all", "any", "not", "in_segment", "leaf"]


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One piece of the condition. Leaves and references to nowhere have no members."""

    kind: Kind
    words: str
    key: int = 0
    """Of a leaf: two that are written the same are one."""
    members: tuple["Node", ...] = ()
    reading: Reading | None = None
    """Of a leaf."""

    def holds_at(self, now: int) -> bool:
        """Its truth at an instant that is not past, as long as nothing else happens."""
        match self.kind:
            case "all":
                return all(member.holds_at(now) for member in self.members)
            case "any":
                return any(member.holds_at(now) for member in self.members)
            case "not":
                return not self.members[0].holds_at(now)
            case "in_segment":
                return any(member.holds_at(now) for member in self.members)
            case "leaf":
                return self.reading is not None and self.reading.holds_at(now)
        assert_never(self.kind)

    def leaves(self) -> Iterator["Node"]:
        """Those at its ends, in order; one that is asked twice comes twice."""
        if self.kind == "leaf":
            yield self
        for member in self.members:
            yield from member.leaves()

    def edges(self) -> Iterator[int]:
        """The only instants at which its truth may change by itself."""
        for leaf in self.leaves():
            if leaf.reading is not None:
                yield from leaf.reading.edges
