"""Every example in docs/segments.md has the members that the page says, by four ways to them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator

from schemas.predicates.operators import OPERATORS
from schemas.predicates.values import instant
from schemas.records import EventType, ProfileEvent
from services.control.cli import app
from services.control.segment_schema import CONDITIONS, segment_schema
from services.control.yaml_text import read_yaml
from services.segmenter.domain.catalogue import Catalogue
from services.segmenter.domain.evaluate import advance, apply
from services.segmenter.domain.explain.explanation import explain
from services.segmenter.domain.explain.remembered import remember
from services.segmenter.domain.lives import Life, PartitionLog, lives
from services.segmenter.domain.profile import Profile
from services.segmenter.domain.segment import Segment, parse_segment
from services.segmenter.recompute import Recomputation
from tests.unit.segmenter import naive

PAGE = (Path(__file__).parents[2] / "docs" / "segments.md").read_text(encoding="utf-8")
NOW = 1_795_608_000_000
"""2026-11-25T12:00:00Z."""
CALLS: tuple[EventType, ...] = ("track", "identify", "page", "group", "relation")


@dataclass(frozen=True)
class Example:
    """A condition and who is said to be in."""

    where: dict[str, Any]
    members: frozenset[str]
    name: str


def from_yaml(text: str) -> Any:
    """As workspace files are read."""
    found = read_yaml(text)
    assert not found.faults
    (document,) = found.documents
    return document.value


def names(text: str) -> frozenset[str]:
    return frozenset() if text.strip() == "nobody" else frozenset(text.strip().split(", "))


def examples() -> Iterator[Example]:
    rows = re.finditer(r"^\|.*?`(\{.*\})` \| ([a-z, ]+) \|$", PAGE, re.MULTILINE)
    for number, row in enumerate(rows, start=1):
        yield Example(from_yaml(row[1]), names(row[2]), f"row-{number}")
    for block in re.finditer(r"```yaml segment\n(.*?)```\nMembers: ([^\n]*)\n", PAGE, re.DOTALL):
        document = from_yaml(block[1])
        yield Example(document["where"], names(block[2]), document["id"])


EXAMPLES = tuple(examples())
VALIDATOR = Draft202012Validator(segment_schema())


@cache
def people() -> dict[str, tuple[ProfileEvent, ...]]:
    """What happened to each, as the page tells it."""
    block = re.search(r"```yaml people\n(.*?)```", PAGE, re.DOTALL)
    assert block is not None
    told = from_yaml(block[1])
    return {
        who: tuple(_event(who, f"{who}-{n}", each) for n, each in enumerate(happened, start=1))
        for who, happened in told.items()
    }


def _event(who: str, message_id: str, told: dict[str, Any]) -> ProfileEvent:
    (call,) = (call for call in CALLS if call in told)
    at = instant(told["at"])
    assert at is not None
    is_named = call not in ("identify", "group")
    content = {key: told[key] for key in ("properties", "context", "row") if key in told}
    return ProfileEvent(
        profile_id=who,
        message_id=message_id,
        source_id="web",
        type=call,
        name=told[call] if is_named else None,
        timestamp=at,
        received_at=at,
        payload=msgspec.json.encode(content if is_named else {**content, "traits": told[call]}),
    )


@cache
def segments() -> dict[str, Segment]:
    """The examples, each a segment of its own name, so that they may refer to each other."""
    return {
        each.name: parse_segment({"id": each.name, "where": each.where}, version=1, state="live")
        for each in EXAMPLES
    }


@cache
def told_lives() -> tuple[Life, ...]:
    log = PartitionLog(0)
    events = sorted((e for story in people().values() for e in story), key=lambda e: e.timestamp)
    for offset, event in enumerate(events):
        log.take(offset, event.timestamp, event)
    return tuple(replace(life, clock=NOW) for life in lives({0: log}))


@cache
def by_stream() -> dict[str, frozenset[str]]:
    """Person → the segments that the running code puts them in."""
    catalogue = Catalogue.empty()
    for each in segments().values():
        catalogue = catalogue.defined(each)
    found = {}
    for who, story in people().items():
        profile = Profile.new(who)
        for event in story:
            apply(catalogue, profile, event, event.timestamp)
        advance(catalogue, profile, NOW)
        found[who] = frozenset(profile.member_of(catalogue.names))
    return found


@cache
def recomputation() -> Recomputation:
    """Closed with the process: it is in memory."""
    found = Recomputation(threads=1)
    found.load(told_lives())
    found.at({0: NOW})
    return found


def by_naive(example: Example) -> frozenset[str]:
    others = {each.name: each.where for each in EXAMPLES}
    return frozenset(
        who
        for who, story in people().items()
        if naive.member(example.where, _person(who, story), NOW, others)
    )


def _person(who: str, story: tuple[ProfileEvent, ...]) -> naive.Person:
    person = naive.Person(id=who)
    for event in story:
        content = msgspec.json.decode(event.payload)
        person.events.append(
            naive.Seen(event.type, event.name, event.timestamp, event.message_id, **content)
        )
    return person


def by_explanation(example: Example) -> frozenset[str]:
    return frozenset(
        life.profile_id
        for life in told_lives()
        if explain(
            segments()[example.name], segments(), remember(life.profile_id, life.applied), NOW
        ).member
    )


def by_sql(example: Example) -> frozenset[str]:
    conditions = {name: each.condition for name, each in segments().items()}
    return recomputation().members(conditions[example.name], conditions)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_an_example_has_the_members_that_the_page_says(example: Example) -> None:
    assert by_naive(example) == example.members
    assert by_explanation(example) == example.members
    assert by_sql(example) == example.members
    stream = frozenset(who for who, inside in by_stream().items() if example.name in inside)
    assert stream == example.members


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_an_editor_takes_every_example(example: Example) -> None:
    document = {"kind": "segment", "id": example.name, "where": example.where}
    assert [error.message for error in VALIDATOR.iter_errors(document)] == []


def test_the_page_has_every_operator_and_every_kind() -> None:
    rows = re.findall(r"^\| `([a-z_]+)` \|", PAGE, re.MULTILINE)
    assert rows == list(OPERATORS)
    written = {key for each in EXAMPLES for key in _keys(each.where)}
    kinds = {shape["required"][0] for shape in CONDITIONS} | {
        key for shape in CONDITIONS for key in shape["properties"]
    }
    assert kinds - {"value", "op"} <= written


def _keys(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from value
        for inner in value.values():
            yield from _keys(inner)
    if isinstance(value, list):
        for inner in value:
            yield from _keys(inner)


def test_the_commands_of_the_page_exist() -> None:
    commands = set(re.findall(r"`?afflux ([a-z]+)", PAGE))
    assert commands >= {"explain", "history", "audit", "estimate", "validate", "status"}
    assert all(command in app for command in commands)
