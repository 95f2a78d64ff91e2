"""What is kept of one profile: facts, leaf histories, memberships; opened only where touched."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from schemas.records import Identifier
from services.segmenter.domain.conditions.leaf import (
    History,
    KeptLeaf,
    Leaf,
    answer_in,
    deviates_in,
)
from services.segmenter.domain.facts import Facts

UNSEEN = -1
FORMAT = 3
"""Of a profile's bytes, which also travel from partition to partition. With a new one goes a new
`FORMAT` in services/runtime/position.py."""


class OtherFormat(ValueError):
    """The bytes are of another version's profile."""


class Membership(NamedTuple):
    """The last change that was emitted for one segment."""

    member: bool
    sequence: int


class _Stored(msgspec.Struct, array_like=True):
    format: int
    generation: int
    seen: int
    next_due: int | None
    identifiers: list[tuple[str, str]]
    facts: bytes
    histories: dict[bytes, bytes]
    overflowed: list[bytes]
    memberships: msgspec.Raw


class Flipped:
    """The leaves of a profile whose truth is not the one they have without any history."""

    __slots__ = ("_open", "_stored")

    def __init__(self, opened: Mapping[bytes, History], stored: Mapping[bytes, bytes]) -> None:
        self._open = opened
        self._stored = stored

    def __contains__(self, key: object) -> bool:
        assert isinstance(key, bytes)
        history = self._open.get(key)
        if history is not None:
            return history.deviates
        data = self._stored.get(key)
        return data is not None and deviates_in(data)


_DECODE = msgspec.msgpack.Decoder(_Stored).decode
_ENCODE = msgspec.msgpack.Encoder().encode
_MEMBERSHIPS = msgspec.msgpack.Decoder(dict[int, Membership]).decode
_JSON = msgspec.json.Encoder(order="deterministic").encode


class Profile:
    """Mutable while a cycle works on it. All but its frame is decoded when asked for.

    Histories are closed again when it is written, for bytes are compact: with 12 000 profiles whose
    histories stayed open an event took a fifth longer than without, and a garbage collection 3 s.
    """

    __slots__ = (
        "_facts",
        "_frame",
        "_histories",
        "_json",
        "_memberships",
        "_open",
        "_stored_facts",
        "_stored_memberships",
        "changed",
        "generation",
        "id",
        "linked",
        "next_due",
        "overflowed",
        "overflows",
        "seen",
    )

    def __init__(self, profile_id: str, stored: _Stored) -> None:
        self.id = profile_id
        self.generation = stored.generation
        """Of the catalogue it was last brought to; UNSEEN before its first record."""
        self.seen = stored.seen
        """The stream time it was last worked on; what has ended by then is forgotten."""
        self.next_due = stored.next_due
        """Before this instant nothing of it changes by itself; `rearm` makes it exact."""
        self.linked = dict.fromkeys(stored.identifiers)
        """Identifiers as (type, value)."""
        self.overflowed = set(stored.overflowed)
        """Leaves with more entries than the limit; segments that ask them stay as they are."""
        self.overflows = 0
        """How many leaves overflowed since it was written."""
        self.changed = False
        """Identifiers, traits, consent or memberships changed since it was written."""
        self._stored_facts = stored.facts
        self._facts: Facts | None = None
        self._histories = stored.histories
        self._open: dict[bytes, History] = {}
        self._stored_memberships = stored.memberships
        self._memberships: dict[int, Membership] | None = None
        self._json: bytes | None = None
        self._frame = (self.generation, self.next_due)

    @classmethod
    def new(cls, profile_id: str) -> "Profile":
        """A profile that has seen nothing yet."""
        nothing = _Stored(FORMAT, UNSEEN, 0, None, [], b"", {}, [], msgspec.Raw(_ENCODE({})))
        return cls(profile_id, nothing)

    @classmethod
    def decode(cls, profile_id: str, data: bytes) -> "Profile":
        """The profile in these bytes, which do not hold its id.

        Raises:
            OtherFormat: another version wrote them.
        """
        try:
            stored = _DECODE(data)
        except msgspec.ValidationError:
            raise OtherFormat from None
        if stored.format != FORMAT:
            raise OtherFormat
        return cls(profile_id, stored)

    def encode(self) -> bytes:
        """Its bytes; from here on it counts as written. Only what changed is encoded anew."""
        for key, history in self._open.items():
            if history.deviates or history.due is not None or not history.is_empty():
                self._histories[key] = history.encode()
            else:
                self._histories.pop(key, None)
        self._open.clear()
        if self._facts is not None and self._facts.changed:
            self._stored_facts = self._facts.encode()
        if self._memberships is not None and self.changed:
            self._stored_memberships = msgspec.Raw(_ENCODE(self._memberships))
        self.changed, self.overflows = False, 0
        self._frame = (self.generation, self.next_due)
        return _ENCODE(
            _Stored(
                FORMAT,
                self.generation,
                self.seen,
                self.next_due,
                list(self.linked),
                self._stored_facts,
                self._histories,
                sorted(self.overflowed),
                self._stored_memberships,
            )
        )

    @property
    def is_written(self) -> bool:
        """Whether nothing but `seen` is other than in its bytes."""
        return not (
            self._open
            or self.changed
            or (self._facts is not None and self._facts.changed)
            or (self.generation, self.next_due) != self._frame
        )

    @property
    def exists(self) -> bool:
        """Whether any record was applied to it."""
        return self.generation != UNSEEN

    @property
    def flipped(self) -> Flipped:
        """Of all leaves, those that are not as they are without any history."""
        return Flipped(self._open, self._histories)

    @property
    def memberships(self) -> dict[int, Membership]:
        """Of each segment that it ever entered, by number, the last change."""
        if self._memberships is None:
            self._memberships = _MEMBERSHIPS(self._stored_memberships)
        return self._memberships

    @property
    def facts(self) -> Facts:
        """Traits and consent."""
        if self._facts is None:
            self._facts = Facts.decode(self._stored_facts)
        return self._facts

    @property
    def identifiers(self) -> tuple[Identifier, ...]:
        """Its identifiers as records carry them, sorted."""
        return tuple(Identifier(*linked) for linked in sorted(self.linked))

    def member_of(self, names: Sequence[str]) -> tuple[str, ...]:
        """Of these ids of segments, by number, those that it is in; sorted."""
        held = self.memberships.items()
        return tuple(sorted(names[number] for number, last in held if last.member))

    def traits_json(self) -> bytes:
        """Its present traits as a JSON object, keys sorted."""
        return _JSON(self.facts.traits_object())

    def consent_json(self) -> bytes:
        """Its consent as a JSON object, keys sorted."""
        return _JSON(self.facts.consent_object())

    def as_json(self) -> bytes:
        """Identifiers, traits and consent, as membership changes carry them."""
        if self._json is None:
            linked = [{"type": kind, "value": value} for kind, value in sorted(self.linked)]
            traits, consent = self.facts.traits_object(), self.facts.consent_object()
            self._json = _JSON({"identifiers": linked, "traits": traits, "consent": consent})
        return self._json

    def history(self, leaf: KeptLeaf[Any]) -> Any:
        """What a leaf remembers of it; changes made to it are kept."""
        key = leaf.key
        found = self._open.get(key)
        if found is None:
            stored = self._histories.get(key)
            found = leaf.fresh() if stored is None else leaf.decode(stored)
            self._open[key] = found
        return found

    def has_history(self, key: bytes) -> bool:
        """Whether the leaf remembers anything."""
        return key in self._open or key in self._histories

    def replace_history(self, key: bytes, history: History) -> None:
        """What the leaf remembers from now on."""
        self._open[key] = history

    def answer(self, key: bytes) -> History:
        """The last answer of a leaf that keeps no history of its own; changes to it are kept."""
        found = self._open.get(key)
        if found is None:
            stored = self._histories.get(key)
            found = self._open[key] = History() if stored is None else answer_in(stored)
        return found

    def due_by(self, now: int) -> list[bytes]:
        """The leaves that may change by themselves at this instant or before."""
        return [key for key, due in self._dues() if due <= now]

    def rearm(self) -> None:
        """Make `next_due` the earliest instant at which anything may change by itself."""
        self.next_due = min((due for _, due in self._dues()), default=None)

    def _dues(self) -> Iterator[tuple[bytes, int]]:
        for key, data in self._histories.items():
            if key not in self._open and (due := answer_in(data).due) is not None:
                yield key, due
        for key, history in self._open.items():
            if history.due is not None:
                yield key, history.due

    def forget(self, key: bytes) -> None:
        """Drop everything about a leaf."""
        self._open.pop(key, None)
        self._histories.pop(key, None)
        self.overflowed.discard(key)

    def overflow(self, leaf: Leaf[Any]) -> None:
        """Too much to remember: forget it all; memberships stay as they are, visibly."""
        self.overflows += 1
        self.overflowed.add(leaf.key)
        left = leaf.fresh() if isinstance(leaf, KeptLeaf) else History()
        left.deviates = leaf.key in self.flipped
        self.replace_history(leaf.key, left)

    def leaf_keys(self) -> set[bytes]:
        """The leaves of which anything is known."""
        return {*self._open, *self._histories, *self.overflowed}

    def facts_changed(self) -> None:
        """Identifiers or facts are no longer what was written out last."""
        self.changed = True
        self._json = None
