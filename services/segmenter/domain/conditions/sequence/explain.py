"""The explanation: the latest chain of events that gets furthest, and which step comes next."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from schemas.predicates.filters import Happened
from schemas.predicates.spans import BEGINNING, Span, covered
from schemas.predicates.values import Scalar, scalar
from services.segmenter.domain.conditions.sequence.leaf import Sequence
from services.segmenter.domain.explain.reading import Evidence, Reading, edges_of, shown
from services.segmenter.domain.explain.remembered import Remembered
from services.segmenter.domain.explain.words import Written, happening, window

Marks = list[list[tuple[Happened, Span]]]
"""For each filter of the sequence its events, and when they match."""
Chain = tuple[Happened, ...]


@dataclass(frozen=True, slots=True)
class Trail:
    """The events of one `by` value."""

    leaf: Sequence
    marks: Marks

    def chains(self, length: int, now: int) -> list[Chain]:
        """For each event that ends such a chain of the first steps, the latest way to it.

        In the order of those events.
        """
        chains: list[Chain] = [(event,) for event in self._matching(0, now)]
        for step in range(1, length):
            chains = [
                (*before, event)
                for event in self._matching(step, now)
                if (before := _latest(chains, event.at, self.leaf.reaches[step])) is not None
            ]
        return chains

    def unanswered(self, now: int) -> list[Chain]:
        """The complete chains that no absent event has answered."""
        complete = self.chains(len(self.leaf.reaches), now)
        if not self.leaf.ends_absent:
            return complete
        answers = (event.at for event in self._matching(len(self.leaf.reaches), now))
        answered = max(answers, default=BEGINNING)
        return [chain for chain in complete if chain[-1].at >= answered]

    def standing(self, now: int) -> list[tuple[Chain, Span]]:
        """Those whose end lies in the window now or later, and when it does."""
        found = []
        for chain in self.unanswered(now):
            span = self.leaf.window.span(chain[-1].at + self.leaf.wait)
            if span is not None:
                found.append((chain, span))
        return found

    def edges(self) -> Iterator[int]:
        """When an event starts or stops to match, and when a chain that it ends does."""
        for step, marks in enumerate(self.marks):
            yield from edges_of(span for _, span in marks)
            if step == len(self.leaf.reaches) - 1:
                ends = (self.leaf.window.span(event.at + self.leaf.wait) for event, _ in marks)
                yield from edges_of(span for span in ends if span is not None)

    def _matching(self, step: int, now: int) -> list[Happened]:
        found = (event for event, span in self.marks[step] if covered((span,), now))
        return sorted(found, key=lambda event: (event.at, event.message_id))


def asks(written: Written) -> str:
    """The leaf in words."""
    *steps, last = [_step(step) for step in written["sequence"]]
    by = f", all with the same {written['by']}" if "by" in written else ""
    return f"{', then '.join([*steps, last])}{by}{window(written)}"


def explain(leaf: Sequence, written: Written, remembered: Remembered, now: int) -> Reading:
    """The chain that holds, or the one that is nearest to it."""
    trails = _trails(leaf, remembered)
    holding = _latest_of(
        chain for trail in trails for chain, span in trail.standing(now) if covered((span,), now)
    )
    nearest = holding or _nearest(leaf, trails, now)
    return Reading(
        found=_found(leaf, nearest, is_true=holding is not None),
        evidence=_evidence(leaf, nearest),
        holds_at=_truth(leaf, trails, now),
        edges=tuple(edge for trail in trails for edge in trail.edges()),
        turn=_turn(leaf, written, nearest, is_true=holding is not None),
        waiting=_waiting(leaf, written, nearest, is_true=holding is not None),
    )


def _truth(leaf: Sequence, trails: list[Trail], now: int) -> Callable[[int], bool]:
    """Which chains there are changes by time only where events match by time."""

    def spans(instant: int) -> list[Span]:
        return [span for trail in trails for _, span in trail.standing(instant)]

    if any(wanted.timed for wanted in leaf.filters):
        return lambda t: covered(spans(t), t)
    lasting = spans(now)
    return lambda t: covered(lasting, t)


def _trails(leaf: Sequence, remembered: Remembered) -> list[Trail]:
    trails: dict[Scalar | None, Trail] = {}
    for step, wanted in enumerate(leaf.filters):
        for event in remembered.events.get(wanted.event, ()):
            span = wanted.span(event)
            by = None if leaf.by is None else scalar(leaf.by.of(event))
            if span is None or (leaf.by is not None and by is None):
                continue
            trail = trails.setdefault(by, Trail(leaf, [[] for _ in leaf.filters]))
            trail.marks[step].append((event, span))
    return list(trails.values())


def _latest(chains: list[Chain], at: int, within: int | None) -> Chain | None:
    """The chain that ended last before `at`, if it is near enough."""
    before = bisect_left(chains, at, key=lambda chain: chain[-1].at)
    if before == 0 or (within is not None and at - chains[before - 1][-1].at > within):
        return None
    return chains[before - 1]


def _latest_of(chains: Iterable[Chain]) -> Chain | None:
    return max(chains, key=lambda chain: (chain[-1].at, chain[-1].message_id), default=None)


def _nearest(leaf: Sequence, trails: list[Trail], now: int) -> Chain | None:
    """A chain that only waits, else the latest of those that got furthest and can go on."""
    waiting = _latest_of(c for t in trails for c, (start, _) in t.standing(now) if now < start)
    if waiting is not None:
        return waiting
    for length in range(len(leaf.reaches) - 1, 0, -1):
        within = leaf.reaches[length]
        found = [chain for trail in trails for chain in trail.chains(length, now)]
        near = [chain for chain in found if within is None or now - chain[-1].at <= within]
        if near:
            return _latest_of(near)
    return None


def _found(leaf: Sequence, chain: Chain | None, *, is_true: bool) -> str:
    if chain is None:
        return "the first step has not happened"
    if is_true:
        return "it happened"
    return f"{len(chain)} of {len(leaf.reaches)} steps happened"


def _evidence(leaf: Sequence, chain: Chain | None) -> tuple[Evidence, ...]:
    if chain is None:
        return ()
    span = leaf.window.span(chain[-1].at + leaf.wait) if len(chain) == len(leaf.reaches) else None
    return tuple(shown(event, span or (0, event.at)) for event in chain)


def _turn(leaf: Sequence, written: Written, chain: Chain | None, *, is_true: bool) -> str | None:
    """The next step; a chain that holds is undone only by its absent event."""
    if is_true:
        return _step(written["sequence"][-1]["absent"]) if leaf.ends_absent else None
    done = 0 if chain is None else len(chain)
    if done == len(leaf.reaches):
        return None
    return f"next {', then '.join(_step(step) for step in written['sequence'][done:])}"


def _waiting(leaf: Sequence, written: Written, chain: Chain | None, *, is_true: bool) -> str | None:
    if leaf.ends_absent and not is_true and chain is not None:
        return f"no {happening(written['sequence'][-1]['absent'])}"
    return "it does not happen again" if is_true else None


def _step(step: Written) -> str:
    if "absent" in step:
        return f"no {happening(step['absent'])} for {step['wait']}"
    within = f" within {step['within']} of the step before" if "within" in step else ""
    return f"{happening(step)}{within}"
