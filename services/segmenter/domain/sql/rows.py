"""From what was applied to profiles to rows of the tables; values in columns that compare."""

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

import msgspec

from schemas.predicates import values
from services.segmenter.domain.calls import called, properties_of
from services.segmenter.domain.conditions.measures import millionths
from services.segmenter.domain.conditions.percent.leaf import bucket
from services.segmenter.domain.facts import GROUP, trait_writes
from services.segmenter.domain.lives import Applied, Life
from services.segmenter.domain.payload import RowChange

Row = tuple[Any, ...]
Typed = tuple[str, str, str, float | None, int | None, str | None, int | None]
"""The columns of `fields` from `kind` on; millionths as text, for they have no upper limit."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What is there is an object or an array, and compares with nothing itself."""

    name: str


Found = values.Scalar | Kind
OBJECT, ARRAY = Kind("object"), Kind("array")

_JSON = msgspec.json.Encoder(order="deterministic").encode
_WIDE = 2.0**63


class Rows:
    """Rows on their way into the tables, by table; ids count on.

    With `paths` only those are written into `fields`, for conditions that ask for no others.
    """

    def __init__(self, *, first: int = 1, paths: AbstractSet[str] | None = None) -> None:
        self.next = first
        self.paths = paths
        self.tables: dict[str, list[Row]] = {}

    def add(self, table: str, *row: Any) -> None:
        """One more row."""
        self.tables.setdefault(table, []).append(row)

    def life(self, number: int, life: Life) -> None:
        """A profile with all that it knows."""
        self.add("known", number, life.profile_id, number, life.partition, life.clock, True)
        for applied in life.applied:
            self.applied(number, applied)

    def applied(self, number: int, applied: Applied) -> None:
        """One event of a profile: that it happened, what it wrote, which row it told of."""
        event, content = applied.event, applied.content
        if event.type == "relation":
            self._told(number, event.name, content.row)
            return
        name = called(event)
        if name is not None:
            owner = self._own("happened", number, name, applied.at, event.message_id)
            self._fields(owner, ("properties",), properties_of(event, content.properties))
            self._fields(owner, ("context",), content.context)
        for slot, write in trait_writes(event.type, content.traits, applied.at, event.message_id):
            owner = self._own("written", number, slot, write.at, write.message_id)
            self._fields(owner, ("traits", *_trait(slot)), write.value)

    def salted(self, number: int, profile_id: str, salt: str) -> None:
        """Where a profile stands among all, moved down so that 64 bits with a sign hold it."""
        self.add("buckets", number, salt, bucket(salt, profile_id) - 2**63)

    def _told(self, number: int, relation: str | None, row: Any) -> None:
        if relation is None or not isinstance(row, RowChange):
            return
        linked = row.op == "link"
        content = _JSON(row.columns).decode() if linked else ""
        owner = self._own("told", number, relation, row.key, row.position, linked, content)
        for column, value in row.columns.items() if linked else ():
            self._fields(owner, ("columns", column), value)

    def _own(self, table: str, *row: Any) -> int:
        owner = self.next
        self.next += 1
        self.add(table, owner, *row)
        return owner

    def _fields(self, owner: int, parts: tuple[str, ...], value: Any) -> None:
        for path, item, found in _flat(parts, value):
            if self.paths is None or path in self.paths:
                self.add("fields", owner, path, item, *_typed(found))


def path_of(parts: tuple[str, ...]) -> str:
    """A path as one text, different for different paths."""
    return ".".join(part.replace("\\", "\\\\").replace(".", "\\.") for part in parts)


def halves(value: int | float) -> tuple[float, int]:
    """The nearest double, and what an integer is beyond it."""
    high = float(value) + 0.0
    return high, value - int(high) if isinstance(value, int) else 0


def comparable(value: values.Scalar) -> tuple[str, str]:
    """Kind and text: the same for two values exactly when they are equal."""
    match value:
        case str():
            return "text", value
        case tuple():
            return "boolean", str(value[0])
        case _:
            is_whole = -_WIDE <= value < _WIDE and value == int(value)
            return "number", str(int(value)) if is_whole else repr(value)


def _trait(slot: str) -> tuple[str, ...]:
    """The path that a write of this slot begins."""
    if slot.startswith(f"{GROUP}."):
        return GROUP, slot.removeprefix(f"{GROUP}.").replace("\\.", ".")
    return (slot.replace("\\.", "."),)


def _flat(parts: tuple[str, ...], value: Any) -> Iterator[tuple[str, bool, Found]]:
    """Every path below, and the scalars of every array on the way."""
    ahead = [(path_of(parts), value)]
    while ahead:
        path, found = ahead.pop()
        found = values.settled(found)
        if type(found) is dict:
            yield path, False, OBJECT
            ahead.extend((f"{path}.{path_of((key,))}", inner) for key, inner in found.items())
        elif type(found) is list:
            yield path, False, ARRAY
            known = (values.scalar(item) for item in found)
            yield from ((path, True, item) for item in known if item is not None)
        elif found is not None:
            scalar = values.scalar(found)
            assert scalar is not None
            yield path, False, scalar


def _typed(value: Found) -> Typed:
    if isinstance(value, Kind):
        return value.name, "", "", None, None, None, None
    kind, text = comparable(value)
    if isinstance(value, str):
        return kind, text, text.casefold(), None, None, None, values.instant(value)
    if isinstance(value, tuple):
        return kind, text, text, None, None, None, None
    return kind, text, text, *halves(value), str(millionths(value)), None
