"""Tells new subscriptions of the members that are there already, in slices between live changes.

What is told, and how far each subscription has been told, is in the state of the partition: see
docs/decisions/activator-router.md.
"""

from collections.abc import Callable, Iterator
from itertools import islice

from schemas.codec import decode_as
from schemas.records import MembershipChanged
from services.activator.subscriptions import Pair
from services.runtime.stage import Cycle, State

DONE = b"\x01"
AT = b"\x00"
"""Before the key of the last member that was enqueued."""

Tell = Callable[[str, MembershipChanged, State, Cycle], None]
"""Enqueue a member for a destination."""


class Backfill:
    """Of all subscriptions, in the partitions that are ours."""

    def __init__(self, slice_size: int, tell: Tell) -> None:
        self._slice = slice_size
        self._tell = tell
        self._settled = False
        """Nothing is left to tell; until the subscriptions or our partitions change."""
        self._progress: dict[int, dict[Pair, bytes]] = {}
        """Of each partition that is ours: how far each subscription has been told."""

    def assigned(self, partition: int, state: State) -> None:
        self._settled = False
        self._progress[partition] = {_pair_of(key): value for key, value in state.scan(b"s/")}

    def revoked(self, partition: int) -> None:
        self._progress.pop(partition, None)

    def changed(self) -> None:
        """There may be other subscriptions now."""
        self._settled = False

    def go_on(self, pairs: frozenset[Pair], cycle: Cycle) -> None:
        """One slice of what is left to tell."""
        if self._settled:
            return
        budget = self._slice
        for partition, progress in self._progress.items():
            _forget_ended(cycle.state(partition), progress, pairs)
            for pair in pairs:
                if budget <= 0:
                    return
                if progress.get(pair) != DONE:
                    budget -= self._advance(partition, pair, budget, cycle)
        self._settled = all(
            told == DONE for progress in self._progress.values() for told in progress.values()
        )

    def _advance(self, partition: int, pair: Pair, budget: int, cycle: Cycle) -> int:
        """One subscription in one partition; returns how much of the budget it took."""
        destination, segment = pair
        state, progress = cycle.state(partition), self._progress[partition]
        told = progress.get(pair, AT)[1:]
        members = list(islice(_members_after(state, segment, told), budget))
        for _, value in members:
            self._tell(destination, decode_as(MembershipChanged, value), state, cycle)
        progress[pair] = AT + members[-1][0] if len(members) == budget else DONE
        state.put(_progress_key(pair), progress[pair])
        return len(members) + 1


def member_key(segment_id: str, profile_id: str) -> bytes:
    """Under which the last change of a present member is kept."""
    return f"m/{segment_id}/{profile_id}".encode()


def _members_after(state: State, segment: str, told: bytes) -> Iterator[tuple[bytes, bytes]]:
    for key, value in state.scan(member_key(segment, ""), start=told):
        if key != told:
            yield key, value


def _forget_ended(state: State, progress: dict[Pair, bytes], pairs: frozenset[Pair]) -> None:
    for pair in progress.keys() - pairs:
        state.delete(_progress_key(pair))
        del progress[pair]


def _progress_key(pair: Pair) -> bytes:
    return f"s/{pair[0]}/{pair[1]}".encode()


def _pair_of(key: bytes) -> Pair:
    _, destination, segment = key.decode().split("/")
    return destination, segment
