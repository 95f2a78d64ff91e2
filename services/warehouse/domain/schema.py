"""Column types from the schema that Kafka Connect's JSON converter writes into each message."""

import hashlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from services.warehouse.domain.types import ColumnType

_NAMED: Mapping[str, str] = MappingProxyType(
    {
        "org.apache.kafka.connect.data.Decimal": "decimal",
        "org.apache.kafka.connect.data.Date": "date",
        "org.apache.kafka.connect.data.Time": "time_ms",
        "org.apache.kafka.connect.data.Timestamp": "timestamp_ms",
        "io.debezium.data.VariableScaleDecimal": "decimal",
        "io.debezium.data.Json": "json",
        "io.debezium.data.Bits": "bytes",
        "io.debezium.time.Date": "date",
        "io.debezium.time.IsoDate": "date",
        "io.debezium.time.Time": "time_ms",
        "io.debezium.time.MicroTime": "time_us",
        "io.debezium.time.IsoTime": "time_us",
        "io.debezium.time.Timestamp": "timestamp_ms",
        "io.debezium.time.MicroTimestamp": "timestamp_us",
        "io.debezium.time.NanoTimestamp": "timestamp_ns",
        "io.debezium.time.IsoTimestamp": "timestamp_us",
        "io.debezium.time.ZonedTimestamp": "zoned_timestamp",
        "io.debezium.time.MicroDuration": "duration_us",
    }
)
"""What is not listed goes by its plain type: uuid, enum, xml and zoned times are text."""

_PLAIN: Mapping[str, str] = MappingProxyType(
    {
        "int8": "integer",
        "int16": "integer",
        "int32": "integer",
        "int64": "integer",
        "float": "number",
        "float32": "number",
        "double": "number",
        "float64": "number",
        "boolean": "boolean",
        "string": "text",
        "bytes": "bytes",
    }
)


def row_types(schema: Any, *, envelope: bool) -> Mapping[str, ColumnType]:
    """The columns' types; none where the message has no schema."""
    fields = _fields(schema)
    if envelope:
        rows = [f for f in fields if f.get("field") in ("after", "before")]
        fields = _fields(rows[0]) if rows else []
    return {str(field["field"]): _type(field) for field in fields if "field" in field}


def fingerprint(types: Mapping[str, ColumnType], columns: Mapping[str, Any]) -> bytes:
    """Of column names and types in force; of the names alone where no type is known."""
    names = sorted(types.keys() | columns.keys())
    text = ",".join(f"{n} {types[n].name if n in types else ''}" for n in names)
    return hashlib.sha256(text.encode("utf-8", "replace")).digest()[:8]


def _fields(schema: Any) -> list[dict[str, Any]]:
    fields = schema.get("fields") if isinstance(schema, dict) else None
    return [f for f in fields if isinstance(f, dict)] if isinstance(fields, list) else []


def _type(field: Mapping[str, Any]) -> ColumnType:
    if field.get("type") == "array":
        items = field.get("items")
        return ColumnType("array", items=_type(items if isinstance(items, dict) else {}))
    name = _NAMED.get(str(field.get("name"))) or _PLAIN.get(str(field.get("type")), "any")
    return ColumnType(name, _scale(field), default=field.get("default"))


def _scale(field: Mapping[str, Any]) -> int | None:
    parameters = field.get("parameters")
    scale = parameters.get("scale") if isinstance(parameters, dict) else None
    return int(scale) if isinstance(scale, str) and scale.lstrip("-").isdecimal() else None
