"""The identifiers that one event carries.

Runs once an event. Measured with the default rules, two identifiers and a payload of 540 bytes:
8 µs of CPU, 2.3 of them to read the JSON.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import msgspec

from schemas.records import EventType, Identifier
from services.identity.domain.normalise import NORMALISERS
from services.identity.domain.rules import ALIAS, IdentifierRule, IdentityRules

LONGEST = 500
MOST = 100
"""Nobody has more identifiers in one event; the weakest beyond it are left out."""
USER_ID = "user_id"
ANONYMOUS_ID = "anonymous_id"

LeftOut = Literal["blocked", "empty", "malformed", "too_long", "too_many", "unknown_type"]

_decode = msgspec.json.Decoder().decode


class Unreadable(ValueError):
    """The payload is no JSON object; the message never quotes it."""


@dataclass(frozen=True, slots=True)
class Carried:
    """What an event says about who it is about."""

    identifiers: tuple[Identifier, ...]
    """Strongest first, each once."""
    previous: tuple[Identifier, ...] = ()
    """Of an alias: what its `previousId` may be, as a user id and as an anonymous id."""
    left_out: tuple[LeftOut, ...] = ()
    """Why values were not taken, a `LeftOut` each."""

    @property
    def is_empty(self) -> bool:
        return not self.identifiers and not self.previous

    def touched(self) -> tuple[Identifier, ...]:
        """All identifiers whose holders matter for this event."""
        marks = tuple(mark_of(i) for i in self.identifiers + self.previous if i.type == USER_ID)
        return self.identifiers + self.previous + marks


def mark_of(user_id: Identifier) -> Identifier:
    """What an alias leaves behind for a user id that has not been seen yet."""
    return Identifier(ALIAS, user_id.value)


@dataclass(frozen=True, slots=True)
class _Taking:
    """One rule, ready for use."""

    type: str
    rank: int
    paths: tuple[tuple[str, tuple[str, ...]], ...]
    """First key and the keys below it."""
    normalise: Callable[[str], str | None]


class Extractor:
    """The rules in force, compiled."""

    def __init__(self, rules: IdentityRules) -> None:
        takings = tuple(_taking(rank, rule) for rank, rule in enumerate(rules.identifiers))
        self._of_people = tuple(taking for taking in takings if taking.paths)
        self._of_groups = tuple(_without_traits(taking) for taking in self._of_people)
        self._by_type = {taking.type: taking for taking in takings}
        self._blocked = frozenset(value.strip().lower() for value in rules.blocked.values)
        self._patterns = tuple(re.compile(p, re.IGNORECASE) for p in rules.blocked.patterns)

    def carried(self, event_type: EventType, payload: bytes) -> Carried:
        """The identifiers in the payload.

        Raises:
            Unreadable: the payload is no JSON object.
        """
        body = _object(payload)
        found: list[Identifier] = []
        left_out: list[LeftOut] = []
        # The traits of a group call are the group's, not the person's.
        for taking in self._of_groups if event_type == "group" else self._of_people:
            for first, rest in taking.paths:
                value = body.get(first)
                if value is not None and rest:
                    value = _at(value, rest)
                if value is not None:
                    self._take(taking, value, found, left_out)
        if (external := _at(body, ("context", "externalIds"))) is not None:
            self._take_external(external, found, left_out)
        identifiers = tuple(dict.fromkeys(found)) if len(found) > 1 else tuple(found)
        left_out += ["too_many"] * (len(identifiers) - MOST)
        previous = self._previous(body, left_out) if event_type == "alias" else ()
        return Carried(identifiers[:MOST], previous, tuple(left_out))

    def subject(self, stated: Identifier) -> Identifier | None:
        """How an identifier that somebody wrote down stands in the graph, if at all."""
        taking = self._by_type.get(stated.type)
        found: list[Identifier] = []
        if taking is not None:
            self._take(taking, stated.value, found, [])
        return found[0] if found else None

    def _take(
        self, taking: _Taking, value: Any, found: list[Identifier], left_out: list[LeftOut]
    ) -> None:
        for text in (value,) if type(value) is str else _texts(value):
            normal = taking.normalise(text)
            if normal is None:
                left_out.append("malformed" if text.strip() else "empty")
            elif len(normal) > LONGEST:
                left_out.append("too_long")
            elif self._is_blocked(normal):
                left_out.append("blocked")
            else:
                # PostgreSQL takes no NUL; ingest has replaced it already.
                found.append(Identifier(taking.type, normal.replace("\0", "\ufffd")))

    def _is_blocked(self, normal: str) -> bool:
        if normal.lower() in self._blocked:
            return True
        for pattern in self._patterns:  # noqa: SIM110  # a generator would cost more than the rest
            if pattern.search(normal) is not None:
                return True
        return False

    def _take_external(
        self, external: Any, found: list[Identifier], left_out: list[LeftOut]
    ) -> None:
        """`context.externalIds`, of the types that the rules list; order of strength is kept."""
        for entry in external if isinstance(external, list) else ():
            if not isinstance(entry, dict) or entry.get("id") is None:
                continue
            type_ = entry.get("type")
            taking = self._by_type.get(type_) if isinstance(type_, str) else None
            if taking is None:
                left_out.append("unknown_type")
            else:
                self._take(taking, entry["id"], found, left_out)
        found.sort(key=lambda identifier: self._by_type[identifier.type].rank)

    def _previous(self, body: Mapping[str, Any], left_out: list[LeftOut]) -> tuple[Identifier, ...]:
        previous: list[Identifier] = []
        value = body.get("previousId")
        for type_ in (USER_ID, ANONYMOUS_ID):
            if value is not None and (taking := self._by_type.get(type_)) is not None:
                self._take(taking, value, previous, left_out)
        return tuple(previous)


def _taking(rank: int, rule: IdentifierRule) -> _Taking:
    keys = [tuple(path.split(".")) for path in rule.paths]
    paths = tuple((first, tuple(rest)) for first, *rest in keys)
    return _Taking(rule.type, rank, paths, NORMALISERS[rule.normalise])


def _without_traits(taking: _Taking) -> _Taking:
    return replace(taking, paths=tuple(path for path in taking.paths if path[0] != "traits"))


def _object(payload: bytes) -> dict[str, Any]:
    try:
        body = _decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Unreadable("the payload is not JSON") from error
    if not isinstance(body, dict):
        raise Unreadable("the payload is not a JSON object")
    return body


def _at(value: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def _texts(value: Any) -> Iterator[str]:
    """A string or whole number as text, an array one by one; nothing else identifies anybody."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            if not isinstance(item, list):
                yield from _texts(item)
    elif isinstance(value, int) and not isinstance(value, bool):
        yield str(value)
