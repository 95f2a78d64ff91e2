"""Avro in the Confluent wire format: a zero byte, the schema id in 4 bytes, the body.

Ids are fixed in `SCHEMAS`, so that a Confluent or Karapace registry can be pointed at them.
Measured: 15 µs to encode and 15 µs to decode an Event with a payload of 600 bytes.
"""

import io
import json
import struct
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any, TypeVar, cast

import msgspec
from fastavro import parse_schema, schemaless_reader, schemaless_writer

from schemas import records
from schemas.records import Record

R = TypeVar("R", bound=msgspec.Struct)

SCHEMAS: Mapping[int, tuple[type[msgspec.Struct], str]] = {
    1: (records.Event, "event/v1"),
    2: (records.ProfileEvent, "profile_event/v1"),
    3: (records.ProfileMerged, "profile_merged/v1"),
    4: (records.ProfileTransferred, "profile_transferred/v1"),
    5: (records.Tick, "tick/v1"),
    6: (records.SegmentDefined, "segment_defined/v1"),
    7: (records.MembershipChanged, "membership_changed/v1"),
    8: (records.ProfileUpdated, "profile_updated/v1"),
    9: (records.Activation, "activation/v1"),
    10: (records.Definition, "definition/v1"),
    11: (records.DeadLetter, "dead_letter/v1"),
    12: (records.ProfileUpdated, "profile_updated/v2"),
    13: (records.ErasureRequested, "erasure_requested/v1"),
    14: (records.ProfileErased, "profile_erased/v1"),
    15: (records.Suppression, "suppression/v1"),
    16: (records.BuildCalled, "build_called/v1"),
    17: (records.BuildReported, "build_reported/v1"),
    18: (records.HistoryBuilt, "history_built/v1"),
    20: (records.MembershipChanged, "membership_changed/v2"),
    21: (records.Activation, "activation/v2"),
}
"""Schema id → record and the file of that version. A new version is a new line with a new id."""

_HEADER = struct.Struct(">bI")
_LATEST = {kind: schema_id for schema_id, (kind, _) in SCHEMAS.items()}


class Undecodable(ValueError):
    """The bytes are no record of ours; the message never quotes them."""


def encode(record: Record) -> bytes:
    """The record under the newest schema of its kind."""
    schema_id = _LATEST[type(record)]
    buffer = io.BytesIO()
    buffer.write(_HEADER.pack(0, schema_id))
    schemaless_writer(
        buffer, _parsed(schema_id), msgspec.to_builtins(record, builtin_types=(bytes,))
    )
    return buffer.getvalue()


def decode(data: bytes | None) -> Record:
    """The record in the bytes, whichever version wrote it.

    Raises:
        Undecodable: no frame, unknown schema id, or a body that does not fit it.
    """
    if data is None or len(data) < _HEADER.size:
        raise Undecodable("shorter than a schema frame")
    magic, schema_id = _HEADER.unpack_from(data)
    if magic != 0 or schema_id not in SCHEMAS:
        raise Undecodable("unknown schema frame")
    kind, _ = SCHEMAS[schema_id]
    buffer = io.BytesIO(data)
    buffer.seek(_HEADER.size)
    try:
        body = schemaless_reader(buffer, _parsed(schema_id), _resolution(schema_id, kind))
        record = msgspec.convert(body, kind, builtin_types=(bytes,))
    except Exception as error:  # fastavro raises whatever the damage led to
        raise Undecodable(f"the body does not fit schema {schema_id}") from error
    if buffer.tell() != len(data):
        raise Undecodable(f"bytes left over behind schema {schema_id}")
    return cast(Record, record)


def decode_as(kind: type[R], data: bytes | None) -> R:
    """The record in the bytes, which must be of this kind."""
    record = decode(data)
    if not isinstance(record, kind):
        raise Undecodable(f"a {type(record).__name__} where a {kind.__name__} is due")
    return record


def schema_json(schema_id: int) -> dict[str, Any]:
    """The Avro schema as committed."""
    _, name = SCHEMAS[schema_id]
    text = resources.files("schemas.avro").joinpath(f"{name}.avsc").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def _resolution(schema_id: int, kind: type[msgspec.Struct]) -> Any:
    latest = _LATEST[kind]
    return None if latest == schema_id else _parsed(latest)


@cache
def _parsed(schema_id: int) -> Any:
    return parse_schema(schema_json(schema_id))
