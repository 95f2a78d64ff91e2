"""YAML text into values with lines: every fault is collected, bombs are bounded."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from services.control.nodes import Node, Part
from services.control.words import NotJson, Word, plain

MAX_DEPTH = 64
MAX_NODES = 100_000
_CORE = "tag:yaml.org,2002:"
_TEXT, _PLAIN = f"{_CORE}str", (f"{_CORE}int", f"{_CORE}float", f"{_CORE}bool", f"{_CORE}null")
_COLLECTIONS = (f"{_CORE}map", f"{_CORE}seq")


@dataclass(frozen=True, slots=True)
class YamlFault:
    """Something that is wrong with the text itself."""

    line: int
    message: str
    document: int
    """Index of the document that it is in; one past the last when that was given up."""


@dataclass(slots=True)
class YamlText:
    """The documents of one text. `complete` is false when the reading had to stop."""

    documents: list[Node] = field(default_factory=list)
    faults: list[YamlFault] = field(default_factory=list)
    complete: bool = True


class _Unreadable(Exception):
    """Reading cannot go on behind this line."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line, self.message = line, message


def read_yaml(text: str) -> YamlText:
    """Every document in the text; empty ones are left out."""
    found = YamlText()
    try:
        _Reader(YAML(typ="safe", pure=True).parse(text), found).read()
    except _Unreadable as stop:
        found.faults.append(YamlFault(stop.line, stop.message, len(found.documents)))
        found.complete = False
    except YAMLError as error:
        line, message = _syntax(error, text)
        found.faults.append(YamlFault(line, message, len(found.documents)))
        found.complete = False
    return found


def _syntax(error: YAMLError, text: str) -> tuple[int, str]:
    if isinstance(error, MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        problem = error.problem or error.context or "it cannot be read"
        return (mark.line + 1 if mark else 1), f"not YAML: {problem}"
    position = getattr(error, "position", 0)
    return text.count("\n", 0, position) + 1, "not YAML: a control character"


class _Reader:
    """Builds nodes from the parser's events; one for each text."""

    def __init__(self, events: Iterator[Event], found: YamlText) -> None:
        self._events = events
        self._found = found
        self._anchors: dict[str, Node] = {}
        self._size = 0

    def read(self) -> None:
        for event in self._events:
            if isinstance(event, DocumentStartEvent):
                self._anchors = {}
                node = self._node(next(self._events), depth=0)
                if node.value is not None:
                    self._found.documents.append(node)

    def _node(self, event: Event, *, depth: int) -> Node:
        line = event.start_mark.line + 1
        if depth > MAX_DEPTH:
            raise _Unreadable(line, f"nested deeper than {MAX_DEPTH}")
        match event:
            case AliasEvent():
                return self._alias(event, line)
            case ScalarEvent():
                node = Node(self._scalar(event, line), line)
            case SequenceStartEvent():
                self._check_tag(event, line)
                node = self._sequence(line, depth)
            case MappingStartEvent():
                self._check_tag(event, line)
                node = self._mapping(line, depth)
            case _:
                raise AssertionError(event)
        self._count(1, line)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _alias(self, event: AliasEvent, line: int) -> Node:
        node = self._anchors.get(event.anchor)
        if node is None:
            raise _Unreadable(
                line, f"not YAML: no anchor &{event.anchor} comes before *{event.anchor}"
            )
        self._count(node.size, line)
        return node

    def _count(self, size: int, line: int) -> None:
        self._size += size
        if self._size > MAX_NODES:
            raise _Unreadable(line, f"more than {MAX_NODES} values, aliases written out")

    def _sequence(self, line: int, depth: int) -> Node:
        parts: dict[str | int, Part] = {}
        while not isinstance(event := next(self._events), SequenceEndEvent):
            item = self._node(event, depth=depth + 1)
            parts[len(parts)] = Part(event.start_mark.line + 1, item)
        return _collected([part.node.value for part in parts.values()], line, parts)

    def _mapping(self, line: int, depth: int) -> Node:
        parts: dict[str | int, Part] = {}
        while not isinstance(event := next(self._events), MappingEndEvent):
            key_line = event.start_mark.line + 1
            key = self._key(event, key_line)
            value = self._node(next(self._events), depth=depth + 1)
            if key in parts:
                self._fault(
                    key_line,
                    f"the key `{key}` is already in this mapping, on line {parts[key].line}",
                )
            else:
                parts[key] = Part(key_line, value)
        return _collected({key: part.node.value for key, part in parts.items()}, line, parts)

    def _key(self, event: Event, line: int) -> str:
        """Keys are always text. A complex key, an alias or a merge key cannot be one."""
        if not isinstance(event, ScalarEvent):
            raise _Unreadable(line, "a key must be a word")
        if event.value == "<<" and event.style is None:
            self._fault(line, "merge keys (`<<`) are not part of YAML 1.2; write the keys out")
        return self._well_formed(event.value, line)

    def _scalar(self, event: ScalarEvent, line: int) -> Word:
        if event.tag == _TEXT or (event.tag is None and event.style is not None):
            return self._well_formed(event.value, line)
        if event.tag is not None and event.tag not in _PLAIN:
            self._fault(line, f"the tag `{event.tag}` is not known here")
        try:
            value = plain(event.value)
        except NotJson as error:
            self._fault(line, str(error))
            return None
        return self._well_formed(value, line) if isinstance(value, str) else value

    def _well_formed(self, text: str, line: int) -> str:
        """The two halves of a character are one, as JSON writes it, which is YAML too."""
        try:
            return text.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            self._fault(line, "half of a surrogate pair is no character")
            return ""

    def _check_tag(self, event: Any, line: int) -> None:
        if event.tag is not None and event.tag not in _COLLECTIONS:
            self._fault(line, f"the tag `{event.tag}` is not known here")

    def _fault(self, line: int, message: str) -> None:
        self._found.faults.append(YamlFault(line, message, len(self._found.documents)))


def _collected(value: Any, line: int, parts: dict[str | int, Part]) -> Node:
    return Node(value, line, parts, 1 + sum(part.node.size for part in parts.values()))
