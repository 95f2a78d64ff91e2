"""Records are written as fastavro writes them."""

import io
import struct
import types
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
import pytest
from fastavro import parse_schema, schemaless_writer
from hypothesis import given
from hypothesis import strategies as st

from schemas.codec import SCHEMAS, encode, schema_json
from schemas.records import Tick
from schemas.writing import writer

LATEST = {kind: schema_id for schema_id, (kind, _) in SCHEMAS.items()}
LONGS = st.integers(-(2**63), 2**63 - 1) | st.integers(-9_000, 9_000)
BYTES = st.binary(max_size=100) | st.integers(0, 9_000).map(bytes)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=40) | st.integers(0, 9_000).map("é".__mul__)


def values(hint: Any) -> st.SearchStrategy[Any]:
    """Of a field's type, as far as our records have it."""
    plain: dict[Any, st.SearchStrategy[Any]] = {
        **{str: TEXTS, bytes: BYTES, int: LONGS, bool: st.booleans(), type(None): st.none()}
    }
    if hint in plain:
        return plain[hint]
    arguments = get_args(hint)
    if get_origin(hint) is Literal:
        return st.sampled_from(arguments)
    if get_origin(hint) in (Union, types.UnionType):
        return st.one_of(*map(values, arguments))
    if get_origin(hint) is tuple:
        return st.lists(values(arguments[0]), max_size=4).map(tuple)
    return records(hint)


def records(kind: type[msgspec.Struct]) -> st.SearchStrategy[Any]:
    return st.builds(kind, **{name: values(t) for name, t in get_type_hints(kind).items()})


def as_fastavro_writes(record: Any) -> bytes:
    schema_id = LATEST[type(record)]
    buffer = io.BytesIO(struct.pack(">bI", 0, schema_id))
    buffer.seek(0, io.SEEK_END)
    plain = msgspec.to_builtins(record, builtin_types=(bytes,))
    schemaless_writer(buffer, parse_schema(schema_json(schema_id)), plain)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", LATEST, ids=lambda kind: kind.__name__)
def test_every_record_is_written_as_fastavro_writes_it(kind: type[msgspec.Struct]) -> None:
    @given(records(kind))
    def holds(record: Any) -> None:
        assert encode(record) == as_fastavro_writes(record)

    holds()


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 2**64, 2**80])
def test_a_number_that_no_long_holds_is_refused(number: int) -> None:
    with pytest.raises(OverflowError):
        encode(Tick(partition=number))


@pytest.mark.parametrize(
    ("schema", "value"),
    [("string", None), ("string", b"x"), ("bytes", "x"), ("bytes", None), ("long", "1")],
)
def test_a_value_of_another_type_is_refused(schema: str, value: Any) -> None:
    with pytest.raises((TypeError, AttributeError)):
        writer(schema)(value)


def test_a_schema_that_nobody_has_written_for_is_refused() -> None:
    with pytest.raises(NotImplementedError, match="double"):
        writer("double")
