"""Records are written as fastavro writes them."""

import io
import struct
from typing import Any

import msgspec
import pytest
from fastavro import parse_schema, schemaless_writer
from hypothesis import given

from schemas.codec import encode, schema_json
from schemas.records import Tick
from schemas.writing import writer
from tests.unit.schemas.any_record import LATEST, records


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
