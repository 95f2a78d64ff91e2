"""What is kept of one profile: facts, leaf histories, memberships; opened only where touched."""

from typing import Any, NamedTuple

import msgspec

from schemas.records import Identifier
from services.segmenter.domain.conditions.leaf import History, KeptLeaf, Leaf
from services.segmenter.domain.facts import Facts

UNSEEN = -1


class Membership(NamedTuple):
    """The last change that was emitted for one segment."""

    member: bool
    sequence: int
    version: int


class _Stored(msgspec.Struct, array_like=True):
    id: str
    generation: int
    seen: int
    identifiers: list[tuple[str, str]]
    facts: bytes
    histories: dict[bytes, bytes]
    flipped: list[bytes]
    dues: dict[bytes, int]
    overflowed: list[bytes]
    memberships: dict[str, Membership]


_DECODE = msgspec.msgpack.Decoder(_Stored).decode
_ENCODE = msgspec.msgpack.Encoder().encode
_JSON = msgspec.json.Encoder(order="deterministic").encode


class Profile:
    """Mutable while a cycle works on it. Histories and facts are decoded when asked for."""

    __slots__ = (
        "_facts",
        "_histories",
        "_json",
        "_open",
        "_stored_facts",
        "changed",
        "dues",
        "flipped",
        "generation",
        "id",
        "linked",
        "memberships",
        "overflowed",
        "overflows",
        "seen",
    )

    def __init__(self, stored: _Stored) -> None:
        self.id = stored.id
        self.generation = stored.generation
        """Of the catalogue it was last brought to; UNSEEN before its first record."""
        self.seen = stored.seen
        """The stream time it was last worked on; what has ended by then is forgotten."""
        self.linked = dict.fromkeys(stored.identifiers)
        """Identifiers as (type, value)."""
        self.flipped = set(stored.flipped)
        """Leaves whose truth is not the one they have without any history."""
        self.dues = stored.dues
        """Leaf → the instant at which it may change by itself."""
        self.overflowed = set(stored.overflowed)
        """Leaves with more entries than the limit; segments that ask them stay as they are."""
        self.memberships = stored.memberships
        self.overflows = 0
        """How many leaves overflowed since it was decoded."""
        self.changed = False
        """Identifiers, traits, consent or memberships changed since it was decoded."""
        self._stored_facts = stored.facts
        self._facts: Facts | None = None
        self._histories = stored.histories
        self._open: dict[bytes, History] = {}
        self._json: bytes | None = None

    @classmethod
    def new(cls, profile_id: str) -> "Profile":
        """A profile that has seen nothing yet."""
        return cls(_Stored(profile_id, UNSEEN, 0, [], b"", {}, [], {}, [], {}))

    @classmethod
    def decode(cls, data: bytes) -> "Profile":
        """The profile in these bytes."""
        return cls(_DECODE(data))

    def encode(self) -> bytes:
        """Its bytes."""
        for key, history in self._open.items():
            if history.is_empty():
                self._histories.pop(key, None)
            else:
                self._histories[key] = history.encode()
        self._open.clear()
        if self._facts is not None:
            self._stored_facts = self._facts.encode()
        return _ENCODE(
            _Stored(
                self.id,
                self.generation,
                self.seen,
                list(self.linked),
                self._stored_facts,
                self._histories,
                sorted(self.flipped),
                self.dues,
                sorted(self.overflowed),
                self.memberships,
            )
        )

    @property
    def exists(self) -> bool:
        """Whether any record was applied to it."""
        return self.generation != UNSEEN

    @property
    def next_due(self) -> int | None:
        """The earliest instant at which anything of it may change by itself."""
        return min(self.dues.values()) if self.dues else None

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

    def member_of(self) -> tuple[str, ...]:
        """Ids of the segments it is in, sorted."""
        return tuple(sorted(name for name, held in self.memberships.items() if held.member))

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
        found = self._open.get(leaf.key)
        if found is None:
            stored = self._histories.get(leaf.key)
            found = leaf.fresh() if stored is None else leaf.decode(stored)
            self._open[leaf.key] = found
        return found

    def has_history(self, key: bytes) -> bool:
        """Whether the leaf remembers anything."""
        return key in self._open or key in self._histories

    def replace_history(self, key: bytes, history: History) -> None:
        """What the leaf remembers from now on."""
        self._open[key] = history

    def forget(self, key: bytes) -> None:
        """Drop everything about a leaf."""
        self._open.pop(key, None)
        self._histories.pop(key, None)
        self.dues.pop(key, None)
        self.flipped.discard(key)
        self.overflowed.discard(key)

    def overflow(self, leaf: Leaf[Any]) -> None:
        """Too much to remember: forget it all; memberships stay as they are, visibly."""
        self.overflows += 1
        self.overflowed.add(leaf.key)
        if isinstance(leaf, KeptLeaf):
            self.replace_history(leaf.key, leaf.fresh())
        self.dues.pop(leaf.key, None)

    def leaf_keys(self) -> set[bytes]:
        """The leaves of which anything is known."""
        return {*self._open, *self._histories, *self.dues, *self.flipped, *self.overflowed}

    def facts_changed(self) -> None:
        """Identifiers or facts are no longer what was written out last."""
        self.changed = True
        self._json = None
