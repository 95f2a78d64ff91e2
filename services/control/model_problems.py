"""Pydantic's complaints as problems: dotted places, one sentence each, never the value itself."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from schemas.problems import Problem
from services.control.documents import did_you_mean

Schema = Mapping[str, Any]


def check_model(model: type[BaseModel], body: Mapping[str, Any]) -> tuple[Problem, ...]:
    """Everything that the model finds wrong with the body."""
    try:
        model.model_validate(body)
    except ValidationError as error:
        schema = model.model_json_schema()
        details = error.errors(include_url=False, include_input=False)
        return tuple(_problem(d, body, schema) for d in details if not _is_echo(d, details))
    return ()


def _is_echo(detail: ErrorDetails, details: Sequence[ErrorDetails]) -> bool:
    """Whether pydantic counts the items of a list too few because it refused some of them."""
    place = detail["loc"]
    return detail["type"] == "too_short" and any(
        other["loc"][: len(place)] == place and len(other["loc"]) > len(place) for other in details
    )


def _problem(detail: ErrorDetails, body: Any, schema: Schema) -> Problem:
    steps = tuple(_steps(detail, body))
    place = written(steps)
    match detail["type"]:
        case "missing":
            return Problem(place, "is missing")
        case "too_short":
            return Problem(place, f"must have at least {detail['ctx']['min_length']} item")
        case "extra_forbidden":
            key = str(steps[-1])
            known = tuple(_known_keys(schema, steps[:-1]))
            return Problem(place, f"unknown key `{key}`{did_you_mean(key, known)}")
        case _:
            message = detail["msg"].removeprefix("Value error, ")
            return Problem(place, message.replace("Input should be", "must be", 1))


def _steps(detail: ErrorDetails, body: Any) -> Iterator[str | int]:
    """The keys and indices that lead to the place; what pydantic adds for unions is left out."""
    value = body
    for position, part in enumerate(detail["loc"], start=1):
        if _has(value, part):
            value = value[part]
            yield part
        elif detail["type"] == "missing" and position == len(detail["loc"]):
            yield part


def _has(value: Any, part: str | int) -> bool:
    if isinstance(value, list):
        return isinstance(part, int) and part < len(value)
    return isinstance(value, Mapping) and part in value


def written(steps: tuple[str | int, ...]) -> str:
    """Steps as a place: `audiences[0].segment`."""
    parts = [f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps]
    return "".join(parts).removeprefix(".")


def _known_keys(schema: Schema, steps: tuple[str | int, ...]) -> Iterator[str]:
    """The keys that the schema allows where the steps lead."""
    found = list(_alternatives(schema, schema))
    for step in steps:
        found = [
            alternative
            for part in found
            for below in _below(part, step)
            for alternative in _alternatives(below, schema)
        ]
    for part in found:
        yield from part.get("properties", {})


def _below(schema: Schema, step: str | int) -> Iterator[Schema]:
    if isinstance(step, int):
        if isinstance(items := schema.get("items"), dict):
            yield items
        return
    more = schema.get("additionalProperties")
    below = schema.get("properties", {}).get(step, more)
    if isinstance(below, dict):
        yield below


def _alternatives(schema: Schema, root: Schema) -> Iterator[Schema]:
    """The schema itself, behind its reference, and every branch of its union."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        yield from _alternatives(root["$defs"][name], root)
    for branch in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        yield from _alternatives(branch, root)
    yield schema
