"""What is kept of one profile: facts, leaf histories, memberships; opened only where touched."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from schemas.records import Identifier
from services.segmenter.domain.conditions.leaf import (
    History,
    KeptLeaf,
    Leaf,
    answer_in,
    days_at,
    deviates_in,
)
from services.segmenter.domain.facts import Facts

UNSEEN = -1
FORMAT = 4
"""Of a profile's bytes, which also travel from partition to partition. With a new one goes a new
`FORMAT` in services/runtime/position.py."""


class OtherFormat(ValueError):
    """The bytes are of another version's profile."""


class _Stored(msgspec.Struct, array_like=True):
    format: int
    generation: int
    since: int
    """From here on the next two and the histories count."""
    seen: int
    next_due: int | None
    identifiers: list[int | str]
    """Type, value, type, value; for the usual types their places in `_TYPES`."""
    facts: bytes
    histories: dict[int, bytes]
    overflowed: list[int]
    sequences: msgspec.Raw
    """Of each segment that it ever entered, by number, that of the last change."""


class Flipped:
    """The leaves of a profile whose truth is not the one they have without any history."""

    __slots__ = ("_open", "_stored")

    def __init__(self, opened: Mapping[int, History], stored: Mapping[int, bytes]) -> None:
        self._open = opened
        self._stored = stored

    def __contains__(self, key: object) -> bool:
        assert isinstance(key, int)
        history = self._open.get(key)
        if history is not None:
            return history.deviates
        data = self._stored.get(key)
        return data is not None and deviates_in(data)


_DECODE = msgspec.msgpack.Decoder(_Stored).decode
_ENCODE = msgspec.msgpack.Encoder().encode
_SEQUENCES = msgspec.msgpack.Decoder(dict[int, int]).decode
_JSON = msgspec.json.Encoder(order="deterministic").encode
_TYPES: Sequence[str] = ("user_id", "email", "phone", "anonymous_id")
_PLACES: Mapping[str, int] = {name: place for place, name in enumerate(_TYPES)}


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
        "_open",
        "_sequences",
        "_since",
        "_stored_facts",
        "_stored_identifiers",
        "_stored_sequences",
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
        self._since = since = stored.since
        self.seen = since + stored.seen
        """The stream time it was last worked on; what has ended by then is forgotten."""
        self.next_due = None if stored.next_due is None else since + stored.next_due
        """Before this instant nothing of it changes by itself; `rearm` makes it exact."""
        self._stored_identifiers = stored.identifiers
        self.linked = dict.fromkeys(_paired(stored.identifiers))
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
        self._open: dict[int, History] = {}
        self._stored_sequences = stored.sequences
        self._sequences: dict[int, int] | None = None
        self._json: bytes | None = None
        self._frame = (self.generation, self.next_due)

    @classmethod
    def new(cls, profile_id: str) -> "Profile":
        """A profile that has seen nothing yet."""
        nothing = _Stored(FORMAT, UNSEEN, 0, 0, None, [], b"", {}, [], msgspec.Raw(_ENCODE({})))
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
        since = self._since = self._since or self.seen
        for key, history in self._open.items():
            if history.deviates or history.due is not None or not history.is_empty():
                self._histories[key] = history.encode(since, self.seen)
            else:
                self._histories.pop(key, None)
        self._open.clear()
        if self._facts is not None and self._facts.changed:
            self._stored_facts = self._facts.encode()
        if self._sequences is not None and self.changed:
            self._stored_sequences = msgspec.Raw(_ENCODE(self._sequences))
        if 2 * len(self.linked) > len(self._stored_identifiers):
            self._stored_identifiers = _flat(self.linked)
        self.changed, self.overflows = False, 0
        self._frame = (self.generation, self.next_due)
        return _ENCODE(
            _Stored(
                FORMAT,
                self.generation,
                since,
                self.seen - since,
                None if self.next_due is None else self.next_due - since,
                self._stored_identifiers,
                self._stored_facts,
                self._histories,
                sorted(self.overflowed),
                self._stored_sequences,
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
    def sequences(self) -> dict[int, int]:
        """Of each segment that it ever entered, by number, that of the last change.

        The first change is an entry and they alternate: it is a member where this is odd.
        """
        if self._sequences is None:
            self._sequences = _SEQUENCES(self._stored_sequences)
        return self._sequences

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
        held = self.sequences.items()
        return tuple(sorted(names[number] for number, sequence in held if sequence % 2))

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
            if stored is None:
                found = self._fresh(leaf)
            else:
                found = leaf.decode(stored)
                found.unpack(self._since)
            self._open[key] = found
        return found

    def _fresh(self, leaf: KeptLeaf[Any]) -> Any:
        self._since = self._since or self.seen
        history = leaf.fresh()
        history.base = days_at(self._since, self.seen)
        history.unpack(self._since)
        return history

    def has_history(self, key: int) -> bool:
        """Whether the leaf remembers anything."""
        return key in self._open or key in self._histories

    def replace_history(self, key: int, history: History) -> None:
        """What the leaf remembers from now on."""
        self._open[key] = history

    def answer(self, key: int) -> History:
        """The last answer of a leaf that keeps no history of its own; changes to it are kept."""
        found = self._open.get(key)
        if found is None:
            stored = self._histories.get(key)
            found = History() if stored is None else answer_in(stored, self._since)
            self._open[key] = found
        return found

    def due_by(self, now: int) -> list[int]:
        """The leaves that may change by themselves at this instant or before."""
        return [key for key, due in self._dues() if due <= now]

    def rearm(self) -> None:
        """Make `next_due` the earliest instant at which anything may change by itself."""
        self.next_due = min((due for _, due in self._dues()), default=None)

    def _dues(self) -> Iterator[tuple[int, int]]:
        for key, data in self._histories.items():
            if key not in self._open:
                due = answer_in(data, self._since).due
                if due is not None:
                    yield key, due
        for key, history in self._open.items():
            if history.due is not None:
                yield key, history.due

    def forget(self, key: int) -> None:
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

    def leaf_keys(self) -> set[int]:
        """The leaves of which anything is known."""
        return {*self._open, *self._histories, *self.overflowed}

    def facts_changed(self) -> None:
        """Identifiers or facts are no longer what was written out last."""
        self.changed = True
        self._json = None


def _flat(linked: Iterable[tuple[str, str]]) -> list[int | str]:
    return [part for kind, value in linked for part in (_PLACES.get(kind, kind), value)]


def _paired(flat: list[int | str]) -> list[tuple[str, Any]]:
    return [
        (_TYPES[kind] if isinstance(kind, int) else kind, value)
        for kind, value in zip(flat[::2], flat[1::2], strict=True)
    ]
