"""Which events a condition means: a name and a where-clause over properties and context."""

from dataclasses import dataclass
from typing import Any

from schemas.predicates import values
from schemas.predicates.operators import Comparison, comparison
from schemas.predicates.shape import Piece
from schemas.predicates.spans import ALWAYS, Span, overlap

CONTEXT = "$context."
BEYOND = 2**63
"""Integers nearer to zero are as they are."""


class Happened:
    """One event as the conditions see it. A plain class: one is made for every event."""

    __slots__ = ("at", "context", "message_id", "name", "properties")

    def __init__(self, name: str, at: int, message_id: str, properties: Any, context: Any) -> None:
        self.name = name
        self.at = at
        self.message_id = message_id
        self.properties = properties
        self.context = context


@dataclass(frozen=True, slots=True)
class EventPath:
    """A path into the properties, or into the context when it begins with `$context.`."""

    parts: tuple[str, ...]
    in_context: bool

    def of(self, event: Happened) -> Any:
        """The value there; None when absent."""
        value = event.context if self.in_context else event.properties
        if len(self.parts) == 1 and type(value) is dict:  # nearly all, and at half the cost
            found = value.get(self.parts[0])
            if type(found) is int and -BEYOND < found < BEYOND:
                return found
            return values.settled(found) if type(found) is int or type(found) is float else found
        return values.at_path(value, self.parts)


@dataclass(frozen=True, slots=True)
class Filter:
    """The events of one name for which every comparison holds."""

    event: str
    where: tuple[tuple[EventPath, Comparison], ...] = ()

    @property
    def timed(self) -> bool:
        """Whether an event can start or stop matching by time alone."""
        return any(comparison.timed for _, comparison in self.where)

    def span(self, event: Happened) -> Span | None:
        """The stream times at which the event matches; its name is known to fit."""
        if not self.where:
            return ALWAYS
        matching: Span | None = ALWAYS
        for path, compared in self.where:
            span = compared.span(path.of(event))
            if span is None:
                return None
            if span is not ALWAYS and matching is not None:
                matching = overlap(matching, span)
        return matching


def event_filter(piece: Piece, *, name: str = "event") -> Filter | None:
    """The event named under `name` and its optional `where`."""
    named = piece.required(name)
    event = None if named is None else named.a_text()
    clauses = [_clause(item) for item in piece.at("where").items()] if piece.has("where") else []
    where = tuple(clause for clause in clauses if clause is not None)
    return None if event is None or len(where) < len(clauses) else Filter(event, where)


def event_path(piece: Piece) -> EventPath | None:
    """A path written in a condition about events."""
    text = piece.a_text()
    if text is None:
        return None
    in_context = text.startswith(CONTEXT)
    parts = values.path(text.removeprefix(CONTEXT) if in_context else text)
    if parts is None:
        piece.refuse("a path has no empty parts")
        return None
    return EventPath(parts, in_context)


def _clause(piece: Piece) -> tuple[EventPath, Comparison] | None:
    if not piece.is_object(("property", "op", "value", "ignore_case")):
        return None
    written = piece.required("property")
    path = None if written is None else event_path(written)
    compared = comparison(piece)
    return None if path is None or compared is None else (path, compared)
