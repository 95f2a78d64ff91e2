"""Whatever stands in a message, the decoder answers; it never raises (warehouse-cdc §2, §10)."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.warehouse.domain.canonical import Digests, json_text
from services.warehouse.domain.change import Change, Rejected, Skipped
from services.warehouse.domain.debezium import Message, Table
from services.warehouse.domain.types import TYPES, declared
from tests.unit.warehouse.builders import DIALECT, FLAT, TOPIC, envelope, message, understood

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from("cudrt"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
PLACES = ("op", "before", "after", "source", "ts_ms", "transaction")
IN_SOURCE = ("snapshot", "lsn", "sequence", "schema", "table", "ts_ms", "connector")
META = ("__op", "__deleted", "__lsn", "__table", "__schema", "__source_ts_ms", "__source_snapshot")
TABLE = Table(
    key=("id",),
    columns=frozenset(TYPES),
    types={name: declared(name) for name in TYPES},
)


@given(st.sampled_from(PLACES), JSON)
def test_any_value_in_any_place_of_an_envelope(place: str, value: Any) -> None:
    _answered(message({**envelope(), place: value}))


@given(st.dictionaries(st.sampled_from(IN_SOURCE), JSON))
def test_any_value_in_the_source(source: dict[str, Any]) -> None:
    _answered(message(envelope(source=source)))


@given(st.dictionaries(st.sampled_from([*META, *TYPES]), JSON), JSON)
def test_any_flattened_record(value: dict[str, Any], key: Any) -> None:
    _answered(message(value, key=key), flat=True)


@given(st.dictionaries(st.sampled_from(sorted(TYPES)), JSON))
def test_any_value_in_a_column_of_any_type(columns: dict[str, Any]) -> None:
    found = _answered(message(envelope(after={"id": 12, **columns})))
    if isinstance(found, Change) and found.after is not None:
        Digests(b"k").row(found.after)
        json_text(found.after).encode()


@given(JSON)
def test_any_schema(schema: Any) -> None:
    _answered(message({"schema": schema, "payload": envelope()}))
    fields = [{"field": "after", "fields": [{"field": "text", "type": schema, "items": schema}]}]
    wrapped = {"schema": {"fields": fields}, "payload": envelope(after={"text": [1]})}
    _answered(message(wrapped, key=None))


@given(st.binary(), st.binary())
def test_any_bytes(key: bytes, value: bytes) -> None:
    _answered(Message(topic=TOPIC, offset=0, timestamp=0, key=key, value=value))


def _answered(given: Message, *, flat: bool = False) -> Change | Skipped | Rejected:
    return understood(given, FLAT if flat else DIALECT, TABLE)
