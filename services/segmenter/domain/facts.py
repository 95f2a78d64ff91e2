"""What is known of a person: traits by latest write, consent where refusing wins, related rows."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from schemas.predicates.values import at_path, escaped
from services.segmenter.domain.message_ids import shortened, spelled
from services.segmenter.domain.rows import Relation, Row

GROUP = "group"


class Write(NamedTuple):
    """One write of a top-level trait; of two the greater `(at, message_id)` counts."""

    at: int
    message_id: str
    value: Any


class Stated(NamedTuple):
    """What a consent entry said last, and when."""

    at: int
    value: Any


class _Stored(msgspec.Struct, array_like=True):
    """Traits that came with one message share its id."""

    messages: list[tuple[int, bytes]]
    traits: dict[str, tuple[int, Any]]
    consent: dict[str, tuple[int, Any]]
    relations: dict[str, bytes] = {}


_DECODE = msgspec.msgpack.Decoder(_Stored).decode
_ENCODE = msgspec.msgpack.Encoder().encode
_DECODE_RELATION = msgspec.msgpack.Decoder(Relation).decode


class Facts:
    """Traits by slot (the escaped key; `group.<key>` for group writes) and consent by key.

    A cleared trait stays as a write of None, so that an older write cannot bring it back.
    The rows of a relation are decoded when asked for.
    """

    __slots__ = ("_open", "_relations", "changed", "consent", "traits")

    def __init__(
        self,
        traits: dict[str, Write],
        consent: dict[str, Stated],
        relations: Mapping[str, bytes] | None = None,
    ) -> None:
        self.traits = traits
        self.consent = consent
        self._relations = dict(relations or {})
        self._open: dict[str, Relation] = {}
        self.changed = False
        """Something was said since they were encoded."""

    @classmethod
    def decode(cls, data: bytes) -> "Facts":
        """The facts in these bytes; none in no bytes."""
        if not data:
            return cls({}, {})
        stored = _DECODE(data)
        messages = [(at, spelled(message_id)) for at, message_id in stored.messages]
        traits = {
            slot: Write(*messages[index], value) for slot, (index, value) in stored.traits.items()
        }
        consent = {key: Stated(*said) for key, said in stored.consent.items()}
        return cls(traits, consent, stored.relations)

    def encode(self) -> bytes:
        """Their bytes."""
        messages: dict[tuple[int, str], int] = {}
        traits = {
            slot: (messages.setdefault((at, message_id), len(messages)), value)
            for slot, (at, message_id, value) in self.traits.items()
        }
        kept = [(at, shortened(message_id)) for at, message_id in messages]
        consent: dict[str, tuple[int, Any]] = dict(self.consent)
        for name, relation in self._open.items():
            self._relations[name] = _ENCODE(relation)
        self.changed = False
        return _ENCODE(_Stored(kept, traits, consent, self._relations))

    def write(self, slot: str, write: Write) -> bool:
        """Take a write; False when a later one is known."""
        current = self.traits.get(slot)
        if current is not None and write[:2] <= current[:2]:
            return False
        self.traits[slot] = write
        self.changed = True
        return True

    def state(self, key: str, said: Stated) -> bool:
        """Take a consent entry: the later counts, at the same instant the refusing one."""
        current = self.consent.get(key)
        if current is not None and said.at < current.at:
            return False
        if current is not None and said.at == current.at:
            said = Stated(said.at, _refusing(key, current.value, said.value))
        self.consent[key] = said
        self.changed = True
        return current is None or said != current

    def rows(self, relation: str) -> Relation:
        """The rows of a relation."""
        found = self._open.get(relation)
        if found is None:
            stored = self._relations.get(relation)
            found = Relation() if stored is None else _DECODE_RELATION(stored)
            self._open[relation] = found
        return found

    def relate(self, relation: str, key: str, row: Row, now: int, limit: int) -> bool:
        """Take a record of a row; False when a later one is known."""
        taken = self.rows(relation).take(key, row, now, limit)
        self.changed = self.changed or taken
        return taken

    def merge_rows(self, other: "Facts", now: int, limit: int) -> None:
        """Add the rows that the other knows."""
        self.changed = True
        for name in (*other._relations, *other._open):
            self.rows(name).merge(other.rows(name), now, limit)

    def merge(self, other: "Facts") -> None:
        """Add what the other knows; in consent the refusing value wins whatever its age."""
        self.changed = True
        for slot, write in other.traits.items():
            self.write(slot, write)
        for key, said in other.consent.items():
            mine = self.consent.get(key, said)
            value = _refusing(key, mine.value, said.value)
            self.consent[key] = Stated(max(mine.at, said.at), value)

    def trait(self, parts: tuple[str, ...]) -> Any:
        """The current value at a path; None when absent."""
        latest: Write | None = None
        for slot in slots(parts):
            write = self.traits.get(slot)
            if write is not None and (latest is None or write[:2] > latest[:2]):
                latest, read = write, slot
        return None if latest is None else inside(read, latest.value, parts)

    def traits_object(self) -> dict[str, Any]:
        """All present traits, group traits under `group`."""
        plain = {
            _unescaped(slot): write.value
            for slot, write in self.traits.items()
            if not slot.startswith("group.") and write.value is not None
        }
        group = self._group_object(plain.get(GROUP))
        if group:
            plain[GROUP] = group
        return plain

    def consent_object(self) -> dict[str, Any]:
        """Consent by key, as it was stated."""
        return {key: said.value for key, said in self.consent.items()}

    def _group_object(self, identified: Any) -> dict[str, Any]:
        keys = [_unescaped(slot[6:]) for slot in self.traits if slot.startswith("group.")]
        if not keys:
            return {}
        named = dict(identified) if type(identified) is dict else {}
        named |= {key: self.trait((GROUP, key)) for key in keys}
        return {key: value for key, value in named.items() if value is not None}


def slots(parts: tuple[str, ...]) -> tuple[str, ...]:
    """The writes that a trait path reads."""
    own = escaped(parts[0])
    if parts[0] == GROUP and len(parts) > 1:
        return f"{GROUP}.{escaped(parts[1])}", own
    return (own,)


def inside(slot: str, value: Any, parts: tuple[str, ...]) -> Any:
    """What a write of this slot says at the path."""
    return at_path(value, parts[2:] if slot.startswith("group.") else parts[1:])


def trait_writes(event_type: str, traits: Any, at: int, message_id: str) -> list[tuple[str, Write]]:
    """The trait writes of an identify or group event."""
    if type(traits) is not dict or event_type not in ("identify", "group"):
        return []
    prefix = f"{GROUP}." if event_type == "group" else ""
    return [(prefix + escaped(key), Write(at, message_id, value)) for key, value in traits.items()]


def consent_entries(context: Any, at: int) -> list[tuple[str, Stated]]:
    """What an event's `context.consent` says; an explicit null says nothing."""
    consent = context.get("consent") if type(context) is dict else None
    if type(consent) is not dict:
        return []
    return [(key, Stated(at, value)) for key, value in consent.items() if value is not None]


def _refusing(key: str, one: Any, other: Any) -> Any:
    """Of two contradicting statements the one that allows less; order does not matter.

    Two category maps combine: a category is allowed where both allow it.
    """
    if type(one) is dict and type(other) is dict:
        return {
            name: one.get(name) is True and other.get(name) is True
            for name in sorted(one.keys() | other.keys())
        }
    return max(one, other, key=lambda value: _reluctance(key, value))


def _reluctance(key: str, value: Any) -> tuple[int, str]:
    refusal = value is True if key == "sale_opt_out" else value is False or value == "denied"
    grant = value is False if key == "sale_opt_out" else value is True or value == "granted"
    level = 2 if refusal else 0 if grant else 1
    return level, msgspec.json.encode(value, order="deterministic").decode()


def _unescaped(slot: str) -> str:
    return slot.replace("\\.", ".")
