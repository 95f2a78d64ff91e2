"""pgoutput, values, snapshots and chunks without a database (warehouse-cdc §4.5, §4.6)."""

import struct
from collections import Counter
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.warehouse.domain.change import Change, Note, Undecodable
from services.warehouse.domain.postgres.chunks import Chunks, Shown, between
from services.warehouse.domain.postgres.pgoutput import (
    UNCHANGED,
    Begin,
    Column,
    Commit,
    Delete,
    Insert,
    Relation,
    Truncate,
    UnknownMessage,
    Update,
    parse,
)
from services.warehouse.domain.postgres.rows import (
    Transactions,
    Wanted,
    copied,
    order_of,
    position,
    read_position,
)
from services.warehouse.domain.postgres.values import array_of, decoder_of
from services.warehouse.domain.postgres.visibility import visibility, widened
from services.warehouse.domain.wire import decode, encode

ROUND = 1 << 32
PLANS = Relation(7, "crm.plans", "d", (Column("id", 20), Column("plan", 25), Column("n", 1700)))
WANTED = {"crm.plans": Wanted("crm.plans", ("id",), frozenset({"plan", "n"}))}


def text(value: str) -> bytes:
    raw = value.encode()
    return b"t" + struct.pack(">I", len(raw)) + raw


def tuple_of(*values: bytes) -> bytes:
    return struct.pack(">H", len(values)) + b"".join(values)


def changes(*messages: Any, xid: int = 900) -> list[Change]:
    """What one transaction comes to."""
    found = Transactions("crm", WANTED, decoder_of)
    said: list[Change] = []
    for message in (Begin(500, 1_790_000_000_000, xid), PLANS, *messages):
        said += found.take(message, 1_790_000_000_040)
    return said


def test_s4_5_every_message_is_read() -> None:
    head = struct.pack(">I", 7)
    assert parse(b"B" + struct.pack(">QqI", 500, 1_000_000, 9)) == Begin(500, 946_684_801_000, 9)
    assert parse(b"C\0" + struct.pack(">QQq", 500, 510, 0)) == Commit(500, 510)
    named = b"crm\0plans\0f" + struct.pack(">H", 1) + b"\1id\0" + struct.pack(">II", 20, 0)
    assert parse(b"R" + head + named) == Relation(7, "crm.plans", "f", (Column("id", 20),))
    row = tuple_of(text("1"), b"n", b"u")
    assert parse(b"I" + head + b"N" + row) == Insert(7, (b"1", None, UNCHANGED))
    assert parse(b"U" + head + b"N" + row) == Update(7, (b"1", None, UNCHANGED), None, False)
    both = b"K" + tuple_of(text("2")) + b"N" + tuple_of(text("1"))
    assert parse(b"U" + head + both) == Update(7, (b"1",), (b"2",), False)
    assert parse(b"D" + head + b"O" + tuple_of(text("1"))) == Delete(7, (b"1",), True)
    assert parse(b"T" + struct.pack(">IBII", 2, 0, 7, 8)) == Truncate((7, 8))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"Z",
        b"S\0\0",
        b"I\0\0\0\7N\0\1b\0\0\0\1x",
        b"I\0\0",
        b"I\0\0\0\7N\0\1x",
        b"I\0\0\0\7N\0\1t\0",
    ],
)
def test_s4_5_what_is_not_known_is_never_skipped(data: bytes) -> None:
    with pytest.raises(UnknownMessage):
        parse(data)


@given(st.binary(max_size=200))
def test_s4_5_any_bytes_are_a_message_or_refused(data: bytes) -> None:
    try:
        parse(data)
    except UnknownMessage:
        return


def test_s4_5_position_is_the_commit_and_the_ordinal_in_it() -> None:
    found = changes(Insert(7, (b"1", b"a", None)), Insert(7, (b"2", b"a", None)))
    assert [change.position for change in found] == [position(500, 1), position(500, 2)]
    assert position(500, 2) < position(501, 1)
    assert read_position(10**9) < position(1, 1)


def test_s4_5_a_position_is_the_same_when_the_log_is_sent_again() -> None:
    rows = [Insert(7, (b"1", b"a", None)), Update(7, (b"1", b"b", None), None, False)]
    assert changes(*rows) == changes(*rows)


def test_s4_5_a_relation_message_replaces_the_one_before() -> None:
    wider = Relation(7, "crm.plans", "d", (*PLANS.columns[::-1], Column("extra", 25)))
    (before, after) = changes(
        Insert(7, (b"1", b"a", b"2")), wider, Insert(7, (b"3", b"b", b"4", b"x"))
    )
    assert before.after == {"id": 1, "plan": "a", "n": 2}
    assert after.after == {"id": 4, "plan": "b", "n": 3}
    assert before.schema_fingerprint != after.schema_fingerprint


def test_s4_5_a_truncate_of_several_tables_is_one_change_for_each() -> None:
    wanted = WANTED | {"crm.visits": Wanted("crm.visits", ("id",), frozenset())}
    found = Transactions("crm", wanted, decoder_of)
    visits = Relation(8, "crm.visits", "d", (Column("id", 20),))
    messages = (Begin(500, 0, 900), PLANS, visits, Truncate((7, 8)))
    said = [change for message in messages for change in found.take(message, 0)]
    assert [(change.op, change.relation) for change in said] == [
        ("truncate", "crm.plans"),
        ("truncate", "crm.visits"),
    ]


def test_s4_5_what_was_not_sent_is_unchanged_or_comes_from_the_whole_old_row() -> None:
    (partial,) = changes(Update(7, (b"1", UNCHANGED, b"2.50"), None, False))
    assert partial.unchanged == {"plan"}
    assert partial.after == {"id": 1, "n": Decimal("2.50")}
    (whole,) = changes(Update(7, (b"1", UNCHANGED, b"2"), (b"1", b"gold", b"1"), True))
    assert whole.unchanged == frozenset()
    assert whole.after == {"id": 1, "plan": "gold", "n": 2}
    assert whole.before == {"id": 1, "plan": "gold", "n": 1}


def test_s4_5_under_full_identity_an_equal_key_is_no_key_change() -> None:
    """There every column is flagged as key, and the old row comes with every update."""
    (found,) = changes(Update(7, (b"1", b"b", None), (b"1", b"a", None), True))
    assert (found.op, found.old_key) == ("update", None)


def test_s3_2_a_key_change_is_two_halves() -> None:
    gone, come = changes(Update(7, (b"2", b"a", None), (b"1", None, None), False))
    assert (gone.op, gone.key, gone.forgets) == ("delete", {"id": 1}, True)
    assert (come.op, come.key, come.old_key) == ("insert", {"id": 2}, {"id": 1})
    assert gone.position == come.position


def test_s4_5_a_key_that_is_null_is_refused_and_the_value_is_in_no_reason() -> None:
    with pytest.raises(Undecodable) as refused:
        changes(Insert(7, (None, b"secret", None)))
    assert refused.value.rejected.column == "id"
    assert "secret" not in str(refused.value.rejected)


@pytest.mark.parametrize(
    ("oid", "written", "value"),
    [
        (16, "t", True),
        (20, "-9223372036854775808", -(2**63)),
        (1700, "123456789012345678901234567890.123456789", None),
        (701, "1e+300", Decimal("1e300")),
        (17, "\\x00ff", b"\0\xff"),
        (1082, "2024-02-29", date(2024, 2, 29)),
        (1083, "23:59:59.5", time(23, 59, 59, 500_000)),
        (1114, "2024-02-29 12:00:00.000001", datetime(2024, 2, 29, 12, 0, 0, 1)),
        (1184, "2024-02-29 12:00:00+00", datetime(2024, 2, 29, 12, tzinfo=UTC)),
        (1184, "2024-02-29 12:00:00.5+05:30", datetime(2024, 2, 29, 6, 30, 0, 500_000, UTC)),
        (3802, '{"a": [1, 2.50]}', {"a": [1, Decimal("2.50")]}),
        (2950, "6f0c9a3e-0000-4000-8000-000000000000", "6f0c9a3e-0000-4000-8000-000000000000"),
        (25, "héllo", "héllo"),
    ],
)
def test_s4_5_values_by_type(oid: int, written: str, value: Any) -> None:
    notes: Counter[Note] = Counter()
    found = decoder_of(oid)(written, notes)
    assert found == (Decimal(written) if value is None else value)
    assert not +notes


@pytest.mark.parametrize(
    ("oid", "written"),
    [
        (1700, "NaN"),
        (701, "-Infinity"),
        (1082, "infinity"),
        (1114, "-infinity"),
        (1184, "0044-03-15 00:00:00+00 BC"),
        (1082, "10000-01-01"),
        (1083, "24:00:00"),
    ],
)
def test_s3_4_what_cannot_be_represented_is_null_and_counted(oid: int, written: str) -> None:
    notes: Counter[Note] = Counter()
    assert decoder_of(oid)(written, notes) is None
    assert notes == {"unrepresentable": 1}


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("{}", []),
        ("{1,NULL,-3}", [1, None, -3]),
        ("{{1,2},{3,4}}", [[1, 2], [3, 4]]),
        ("[2:3]={5,6}", [5, 6]),
    ],
)
def test_s4_5_arrays_of_integers(written: str, value: list[Any]) -> None:
    assert array_of(decoder_of(20))(written, Counter()) == value


@given(st.lists(st.none() | st.text(alphabet='ab,"\\{} N', max_size=6), max_size=5))
def test_s4_5_arrays_of_text_as_postgresql_writes_them(items: list[str | None]) -> None:
    def written(item: str | None) -> str:
        if item is None:
            return "NULL"
        return '"' + item.replace("\\", "\\\\").replace('"', '\\"') + '"'

    literal = "{" + ",".join(map(written, items)) + "}"
    assert array_of(decoder_of(25))(literal, Counter()) == items


@given(st.lists(st.none() | st.text(alphabet="ab\\\t\n\r\b\f\vN.", max_size=6), min_size=1))
def test_s4_6_lines_of_copy_are_read_back(items: list[str | None]) -> None:
    names = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\b": "\\b"}
    names |= {"\f": "\\f", "\v": "\\v"}

    def written(item: str | None) -> str:
        return "\\N" if item is None else "".join(names.get(c, c) for c in item)

    line = "\t".join(map(written, items)).encode()
    assert b"\n" not in line
    assert copied(line) == tuple(None if item is None else item.encode() for item in items)


@given(st.integers(1, 2**48), st.integers(-(2**30), 2**30))
def test_s4_6_ids_are_widened_next_to_xmax(near: int, distance: int) -> None:
    full = near + distance
    if full >= 0:
        assert widened(full % ROUND, near) == full


def test_s4_6_what_a_snapshot_shows() -> None:
    seen = visibility(f"{ROUND + 10}:{ROUND + 20}:{ROUND + 12},{ROUND + 15}")
    shown = [xid for xid in range(5, 25) if seen.shows(xid)]
    assert shown == [5, 6, 7, 8, 9, 10, 11, 13, 14, 16, 17, 18, 19]
    assert seen.shows(ROUND - 3)


def change_of(key: int, xid: int) -> Change:
    (found,) = changes(Insert(7, (str(key).encode(), b"a", None)), xid=xid)
    return found


def chunks(*shown: Shown) -> Chunks:
    return Chunks(shown, lambda change: order_of(change.key, ("id",)))


FIRST = Shown((100,), visibility("10:20:"), 1)
LAST = Shown(None, visibility("30:40:"), 2)


def test_s4_6_a_change_is_news_unless_its_own_chunk_shows_it() -> None:
    both = chunks(FIRST, LAST)
    assert both.news(change_of(100, 15)) is None
    assert both.news(change_of(100, 25)) is not None
    assert both.news(change_of(101, 25)) is None
    assert both.news(change_of(101, 45)) is not None


def test_s4_6_the_halves_of_a_key_change_are_judged_each_by_its_own_chunk() -> None:
    """The first chunk shows transaction 15 and not 25, the last one shows both."""
    gone, come = changes(Update(7, (b"200", b"a", None), (b"100", None, None), False), xid=25)
    both = chunks(FIRST, LAST)
    assert both.news(gone) == gone
    assert both.news(come) is None


def test_s4_6_after_a_reading_that_was_cut_short_what_only_the_next_shows_comes_between() -> None:
    """A row that the first reading wrote and the next did not find goes as the log says."""
    again = chunks(Shown(None, visibility("30:40:"), 2, visibility("10:20:")))
    assert again.news(change_of(1, 15)) is None
    news = again.news(change_of(1, 25))
    assert news is not None
    assert read_position(1) < news.position < read_position(2)
    assert news.position == between(2, change_of(1, 25).position)


def test_s4_6_a_truncate_empties_only_what_was_read_before_it() -> None:
    (emptied,) = changes(Truncate((7,)), xid=25)
    news = chunks(FIRST, LAST).news(emptied)
    assert news is not None
    assert read_position(1) < news.position <= read_position(2)
    (seen,) = changes(Truncate((7,)), xid=15)
    assert chunks(FIRST, LAST).news(seen) is None
    (later,) = changes(Truncate((7,)), xid=45)
    assert chunks(FIRST, LAST).news(later) == later


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**80), 2**80)
    | st.decimals(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.binary()
    | st.dates()
    | st.times()
    | st.datetimes()
    | st.datetimes(timezones=st.just(UTC)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.text(), VALUES, max_size=4))
def test_s2_what_a_connector_says_is_read_back_value_by_value(after: dict[str, Any]) -> None:
    said = Change(
        source="crm",
        relation="crm.plans",
        op="insert",
        key={"id": 2**70},
        after=after,
        epoch=3,
        position="1",
        committed_at=5,
        read_at=6,
        notes=Counter({"text_cleaned": 1}),
    )
    found = decode(encode(said), "crm")
    assert found == said
    assert found.notes == said.notes
