"""Whether a record's versions can follow one another, and whether a schema fits its record."""

import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

Schema = Mapping[str, Any]

_PRIMITIVES: Mapping[object, str] = {str: "string", int: "long", bool: "boolean", bytes: "bytes"}
_PROMOTIONS = {
    "int": {"long", "float", "double"},
    "long": {"float", "double"},
    "float": {"double"},
    "string": {"bytes"},
    "bytes": {"string"},
}
"""What a reader may take a written type for (Avro specification, schema resolution)."""


def unreadable(writer: Any, reader: Any, place: str = "") -> Iterator[str]:
    """Why data of the schema `writer` could not be read under `reader`: a sentence each."""
    match writer, reader:
        case list(), _:
            for branch in writer:
                yield from unreadable(branch, reader, place)
        case _, list():
            if all(any(unreadable(writer, branch, place)) for branch in reader):
                yield f"{place}: {_kind(writer)} is no branch of the new union"
        case ({"type": "record"}, {"type": "record"}):
            yield from _unreadable_record(writer, reader, place)
        case ({"type": "array"}, {"type": "array"}):
            yield from unreadable(writer["items"], reader["items"], f"{place}[]")
        case _:
            old, new = _kind(writer), _kind(reader)
            if old != new and new not in _PROMOTIONS.get(old, ()):
                yield f"{place}: {old} cannot be read as {new}"


def breaking(previous: Schema, following: Schema) -> Iterator[str]:
    """Why the next version of a record may not follow: both ways must stay readable.

    So fields come and go only with a default, and no type changes but where both ways agree.
    """
    for problem in unreadable(previous, following):
        yield f"new reader, old data: {problem}"
    for problem in unreadable(following, previous):
        yield f"old reader, new data: {problem}"


def misfits(schema: Schema, record: type[msgspec.Struct]) -> Iterator[str]:
    """Where schema and record differ: names and their order, types, what may be absent."""
    fields: Sequence[Schema] = schema["fields"]
    ours = {field.name: field for field in msgspec.structs.fields(record)}
    names = [field["name"] for field in fields]
    if names != list(ours):
        yield f"{record.__name__}: the schema has {names}, the record {list(ours)}"
        return
    for field in fields:
        own = ours[field["name"]]
        place = f"{record.__name__}.{own.name}"
        expected = _avro_type(own.type)
        if _shape(field["type"]) != expected:
            yield f"{place}: the schema has {_shape(field['type'])}, the record {expected}"
        has_default = own.default is not msgspec.NODEFAULT or (
            own.default_factory is not msgspec.NODEFAULT
        )
        if ("default" in field) != has_default:
            yield f"{place}: a default in only one of schema and record"


def _unreadable_record(writer: Schema, reader: Schema, place: str) -> Iterator[str]:
    if writer["name"] != reader["name"]:
        yield f"{place}: {writer['name']} became {reader['name']}"
        return
    written = {field["name"]: field for field in writer["fields"]}
    for field in reader["fields"]:
        name = field["name"]
        if name in written:
            yield from unreadable(written[name]["type"], field["type"], f"{place}.{name}")
        elif "default" not in field:
            yield f"{place}.{name}: absent in the data and without default"


def _kind(schema: Any) -> str:
    kind = schema["type"] if isinstance(schema, dict) else schema
    return str(kind)


def _shape(schema: Any) -> Any:
    """A schema reduced to what a record can say: nested types, without names and docs."""
    match schema:
        case list():
            return [_shape(branch) for branch in schema]
        case {"type": "record", "fields": fields}:
            return {field["name"]: _shape(field["type"]) for field in fields}
        case {"type": "array", "items": items}:
            return ("array", _shape(items))
        case _:
            return schema


def _avro_type(annotation: Any) -> Any:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        (inner,) = (a for a in arguments if a is not types.NoneType)
        return ["null", _avro_type(inner)]
    if origin is typing.Literal:
        return "string"
    if origin is tuple:
        return ("array", _avro_type(arguments[0]))
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        fields = msgspec.structs.fields(annotation)
        return {field.name: _avro_type(field.type) for field in fields}
    return _PRIMITIVES[annotation]
