"""Whatever the bytes, a record is read as fastavro reads it."""

import io
from functools import cache
from typing import Any

import msgspec
import pytest
from fastavro import parse_schema, schemaless_reader
from hypothesis import given
from hypothesis import strategies as st

from schemas.codec import Undecodable, decode, encode, schema_json
from schemas.reading import reader
from tests.unit.schemas.any_record import LATEST, records

HEAD = 5
"""Bytes of the frame."""


def as_fastavro_reads(data: bytes, kind: type[msgspec.Struct]) -> Any:
    """The record, or None for what fastavro or the record's types refuse, or leave something of."""
    body = io.BytesIO(data[HEAD:])
    try:
        plain: Any = schemaless_reader(body, parsed(kind), None)
        record = msgspec.convert(plain, kind, builtin_types=(bytes,))
    except Exception:  # whatever the damage led to
        return None
    return record if body.tell() == len(data) - HEAD else None


@cache
def parsed(kind: type[msgspec.Struct]) -> Any:
    return parse_schema(schema_json(LATEST[kind]))


def as_we_read(data: bytes) -> Any:
    try:
        return decode(data)
    except Undecodable:
        return None


@pytest.mark.parametrize("kind", LATEST, ids=lambda kind: kind.__name__)
def test_every_record_is_read_as_it_was_written(kind: type[msgspec.Struct]) -> None:
    quickly = reader(schema_json(LATEST[kind]), kind)

    @given(records(kind))
    def holds(record: Any) -> None:
        data = encode(record)
        assert decode(data) == record
        assert as_fastavro_reads(data, kind) == record
        assert quickly(data, HEAD) == record

    holds()


@pytest.mark.parametrize("kind", LATEST, ids=lambda kind: kind.__name__)
def test_damaged_records_are_read_as_fastavro_reads_them(kind: type[msgspec.Struct]) -> None:
    @given(records(kind), st.data())
    def holds(record: Any, data: st.DataObject) -> None:
        damaged = bytearray(encode(record))
        for _ in range(data.draw(st.integers(1, 3))):
            place = data.draw(st.integers(HEAD, max(HEAD, len(damaged) - 1)))
            damaged[place : place + data.draw(st.integers(0, 2))] = data.draw(
                st.binary(max_size=3) | st.sampled_from([b"\x80", b"\xff" * 9 + b"\x01", b"\x00"])
            )
        assert as_we_read(bytes(damaged)) == as_fastavro_reads(bytes(damaged), kind)

    holds()
