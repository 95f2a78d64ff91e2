"""What every leaf kind brings: its truth, its next change, its merge, over a kept history."""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, ClassVar, Generic, TypeVar

import msgspec

from schemas.predicates.filters import Happened
from services.segmenter.domain.facts import Facts, Write

DIGESTS = 2**63
"""Keys below are free for other names of leaves."""
DAY = 86_400_000
FAR = 40 * DAY
"""An instant takes 5 bytes from 24 days before its base to 49 days after, at most; else 9."""
_PAST = 20

_ENCODE = msgspec.msgpack.Encoder().encode


class History(msgspec.Struct, array_like=True, gc=False):
    """What one leaf remembers of one profile; small, and no larger than its window needs.

    As it is, it holds the last answer only: enough for a leaf over facts.
    """

    deviates: bool = False
    """Its truth is not the one it has without any history. First, so that bytes tell it."""
    due: int | None = None
    """The instant at which it may change by itself."""
    base: int = 0
    """From when its instants count; in bytes, in days of the profile. 0 while it is merged."""

    def entries(self) -> int:
        """How many events or writes it holds one by one."""
        return 0

    def is_empty(self) -> bool:
        """Whether it need not be kept."""
        return self.entries() == 0

    def shift(self, by: int) -> None:  # nothing to do where nothing is kept
        """Add so many milliseconds to what is counted from `base`."""

    def rebase(self, base: int) -> None:
        """Count from there."""
        self.shift(self.base - base)
        self.base = base

    def unpack(self, since: int) -> None:
        """From the form of bytes, in a profile that began at `since`, to that of use."""
        self.base = base = since + self.base * DAY
        if self.due is not None:
            self.due += base

    def encode(self, since: int, now: int) -> bytes:
        """Its bytes at `now` in a profile that began at `since`; it is used up by that."""
        base = self.base
        if not base or now - base > FAR:
            base = since + days_at(since, now) * DAY
            self.rebase(base)
        if self.due is not None:
            self.due -= base
        self.base = (base - since) // DAY
        return _ENCODE(self)


_DECODE = msgspec.msgpack.Decoder(History).decode
_TRUE = 0xC3


def days_at(since: int, now: int) -> int:
    """From how many days behind `since` on a history counts that is begun or written now."""
    return max(0, (now - since) // DAY - _PAST)


def answer_in(data: bytes, since: int) -> History:
    """The last answer in a history's bytes, of whichever kind."""
    answer = _DECODE(data)
    answer.unpack(since)
    return answer


def deviates_in(data: bytes) -> bool:
    """The same of its truth alone: the byte behind the header of the array."""
    return data[1] == _TRUE


H = TypeVar("H", bound=History)


@dataclass(frozen=True, slots=True)
class Leaf(ABC, Generic[H]):
    """One leaf of a condition, shared by all segments that write it the same way."""

    key: int
    """Digest of its canonical JSON."""

    @property
    @abstractmethod
    def initial(self) -> bool:
        """Whether it holds for a profile without any history."""

    @abstractmethod
    def holds(self, history: H, now: int) -> bool:
        """Whether it holds at `now`, which is never before anything the history was told."""

    @abstractmethod
    def next_change(self, history: H, now: int) -> int | None:
        """The first instant after `now` at which it may change by itself; None for never."""

    def outlook(self, history: H, now: int) -> tuple[bool, int | None]:
        """Truth and next change at once, for kinds that save work by it."""
        return self.holds(history, now), self.next_change(history, now)


class KeptLeaf(Leaf[H]):
    """A leaf that keeps a history of its own with the profile."""

    __slots__ = ()

    @abstractmethod
    def fresh(self) -> H:
        """The empty history."""

    decode: ClassVar["staticmethod[[bytes], Any]"]
    """The history in these bytes, still to be unpacked."""

    @abstractmethod
    def merge(self, one: H, other: H, now: int) -> H:
        """The history of a profile that had everything of both, all with base 0, in any order."""

    def matters(self, at: int, now: int) -> bool:
        """Whether what happened at `at` can still make a difference at `now` or later."""
        return True

    def settle(self, history: H, now: int) -> None:  # nothing to do for some
        """Let go of what can no longer matter; always called before the truth is asked."""


class EventLeaf(KeptLeaf[H]):
    """A leaf over events; it remembers those that matter."""

    __slots__ = ()

    @property
    @abstractmethod
    def events(self) -> frozenset[str]:
        """The names of the events it listens to."""

    @abstractmethod
    def matches(self, event: Happened) -> Any:
        """What is to be remembered of the event; None when it does not matter."""

    @abstractmethod
    def record(self, history: H, match: Any, now: int) -> None:
        """Remember it."""

    def take(self, history: H, match: Any, now: int) -> tuple[bool, int | None]:
        """Remember it, settle and look out at once, for kinds that save work by it."""
        self.record(history, match, now)
        self.settle(history, now)
        return self.outlook(history, now)


class FactLeaf(Leaf[H]):
    """A leaf over what the facts keep; it needs no history of its own."""

    __slots__ = ()

    @abstractmethod
    def recall(self, facts: Facts, now: int) -> H:
        """What the current facts alone say."""


class TraitLeaf(FactLeaf[H]):
    """A leaf over the value of a trait."""

    __slots__ = ()

    @property
    @abstractmethod
    def slots(self) -> tuple[str, ...]:
        """The writes it listens to."""


class RowLeaf(FactLeaf[H]):
    """A leaf over the rows of a relation."""

    __slots__ = ()

    relation: str


class SteadyLeaf(KeptLeaf[H], TraitLeaf[H]):
    """A leaf that also asks since when, and so keeps the writes of its trait."""

    __slots__ = ()

    @abstractmethod
    def record(self, history: H, slot: str, write: Write, now: int) -> None:
        """Remember a write, late ones too."""


def leaf_key(document: Mapping[str, Any]) -> int:
    """Leaves that are written the same have the same key, which is `DIGESTS` or more."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return DIGESTS | int.from_bytes(digest, "big")
