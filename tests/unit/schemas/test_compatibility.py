"""A change that would break a reader is caught before it is committed."""

import copy
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from schemas.codec import schema_json
from schemas.compatibility import breaking, misfits
from schemas.records import ProfileEvent

Schema = dict[str, Any]


def profile_event() -> Schema:
    return schema_json(2)


def field(schema: Schema, name: str) -> Schema:
    return next(each for each in schema["fields"] if each["name"] == name)


def add_with_default(schema: Schema) -> None:
    schema["fields"].append({"name": "region", "type": ["null", "string"], "default": None})


def add_without_default(schema: Schema) -> None:
    schema["fields"].append({"name": "region", "type": "string"})


def remove_with_default(schema: Schema) -> None:
    schema["fields"].remove(field(schema, "historical"))


def remove_without_default(schema: Schema) -> None:
    schema["fields"].remove(field(schema, "payload"))


def rename(schema: Schema) -> None:
    field(schema, "payload")["name"] = "body"


def widen(schema: Schema) -> None:
    field(schema, "timestamp")["type"] = "double"


def narrow(schema: Schema) -> None:
    field(schema, "name")["type"] = "string"


def make_optional(schema: Schema) -> None:
    field(schema, "payload")["type"] = ["null", "bytes"]


def change_inside(schema: Schema) -> None:
    field(schema, "identifiers")["type"]["items"]["fields"].append({"name": "at", "type": "long"})


def rename_record(schema: Schema) -> None:
    schema["name"] = "Other"


@pytest.mark.parametrize(
    ("change", "problems"),
    [
        (add_with_default, []),
        (remove_with_default, []),
        (
            add_without_default,
            ["new reader, old data: .region: absent in the data and without default"],
        ),
        (
            remove_without_default,
            ["old reader, new data: .payload: absent in the data and without default"],
        ),
        (
            rename,
            [
                "new reader, old data: .body: absent in the data and without default",
                "old reader, new data: .payload: absent in the data and without default",
            ],
        ),
        (widen, ["old reader, new data: .timestamp: double cannot be read as long"]),
        (narrow, ["new reader, old data: .name: null cannot be read as string"]),
        (make_optional, ["old reader, new data: .payload: null cannot be read as bytes"]),
        (
            change_inside,
            ["new reader, old data: .identifiers[].at: absent in the data and without default"],
        ),
        (
            rename_record,
            [
                "new reader, old data: : ProfileEvent became Other",
                "old reader, new data: : Other became ProfileEvent",
            ],
        ),
    ],
)
def test_a_breaking_change_is_named(change: Callable[[Schema], None], problems: list[str]) -> None:
    following = copy.deepcopy(profile_event())
    change(following)
    assert list(breaking(profile_event(), following)) == problems


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (rename, "ProfileEvent: the schema has"),
        (narrow, "ProfileEvent.name: the schema has string, the record ['null', 'string']"),
        (widen, "ProfileEvent.timestamp: the schema has double, the record long"),
        (change_inside, "ProfileEvent.identifiers: the schema has"),
        (lambda s: s["fields"].reverse(), "ProfileEvent: the schema has"),
        (
            lambda s: field(s, "historical").pop("default"),
            "ProfileEvent.historical: a default in only one of schema and record",
        ),
    ],
)
def test_a_schema_that_does_not_fit_its_record_is_named(
    change: Callable[[Schema], None], problem: str
) -> None:
    schema = copy.deepcopy(profile_event())
    change(schema)
    (found,) = misfits(schema, ProfileEvent)
    assert found.startswith(problem)


def test_a_changed_record_is_named() -> None:
    class Tick(msgspec.Struct):
        partition: str

    assert list(misfits(schema_json(5), Tick)) == [
        "Tick.partition: the schema has long, the record string"
    ]
