"""A value read from a file, with the line of every key and item in it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Node:
    """A value and where it is written; `parts` are the nodes below, by key or index."""

    value: Any
    line: int
    parts: Mapping[str | int, "Part"] = field(default_factory=dict)
    size: int = 1
    """How many nodes it is, aliases written out."""


@dataclass(frozen=True, slots=True)
class Part:
    """What is below a key or index; `line` is that of the key or of the item's beginning."""

    line: int
    node: Node


def line_of(node: Node, place: str) -> int:
    """The line of a place such as `where.all[0].op`; of its nearest parent if it is not there."""
    line = node.line
    while place:
        step = _step(node, place)
        if step is None:
            break
        part, place = step
        line, node = part.line, part.node
    return line


def _step(node: Node, place: str) -> tuple[Part, str] | None:
    """The part that the place begins with, and the rest. Keys may hold dots: the longest wins."""
    fitting = [(_text(key), part) for key, part in node.parts.items() if _fits(_text(key), place)]
    if not fitting:
        return None
    text, part = max(fitting, key=lambda found: len(found[0]))
    return part, place[len(text) :].removeprefix(".")


def _text(key: str | int) -> str:
    return f"[{key}]" if isinstance(key, int) else key


def _fits(text: str, place: str) -> bool:
    return place.startswith(text) and place[len(text) : len(text) + 1] in ("", ".", "[")
