"""The settled readings of segments.md §9 on numbers over events, related rows and percent."""

from hashlib import blake2b
from random import Random
from types import MappingProxyType
from typing import Any

import pytest

from services.segmenter.domain.payload import Unreadable
from services.segmenter.domain.rows import GRAVE
from services.segmenter.settings import SegmenterSettings
from services.segmenter.streams import Segmenter
from tests.unit.segmenter.histories import START, text_of
from tests.unit.segmenter.memory_log import Past, Table
from tests.unit.segmenter.story import Story

T = START


def is_member(where: Any, *values: Any, name: str = "x") -> bool:
    """Whether somebody whose events have these values in a property is a member."""
    story = Story(where)
    for value in values or (None,):
        story.happen(T, "track", name="E", properties={name: value})
    return story.is_member(T)


def test_reading_03_a_copy_that_identity_let_pass_is_another_event() -> None:
    """Copies of one message id and source end in identity (tests/unit/identity); so two sources
    that use the same id are two events here."""
    story = Story({"event": "E", "count": {"exactly": 2}})
    story.happen(T, "track", name="E", message_id="m")
    story.happen(T, "track", name="E", message_id="m")
    assert story.is_member(T)


@pytest.mark.parametrize(
    ("values", "measure", "op", "bound", "expected"),
    [
        ((0.1,) * 3, "sum", "at_least", 0.3, True),
        ((0.1,) * 3, "sum", "greater_than", 0.3, False),
        ((0.0078125,), "minimum", "between", [0.007812, 0.007812], True),
        ((0.0234375,), "minimum", "between", [0.023438, 0.023438], True),
        ((2.5e-6,), "minimum", "at_least", 3e-6, True),
        ((0.5e-6,), "maximum", "greater_than", 0, False),
        ((1.5e-6,), "maximum", "at_least", 2e-6, True),
        ((1.0000004,), "maximum", "between", [1, 1], True),
        ((2**63 - 1,) * 3, "sum", "greater_than", 2**63 - 1, True),
        ((1e300, -1e300, 1), "sum", "between", [1, 1], True),
        ((1, 2), "average", "at_least", 1.5, True),
        ((1, 1, 2), "average", "less_than", 1.333334, True),
        ((1, 1, 2), "average", "greater_than", 1.333333, True),
        (("1", True, None, [1]), "sum", "at_least", -5, False),
    ],
)
def test_reading_08_millionths_of_the_exact_value(
    values: tuple[Any, ...], measure: str, op: str, bound: Any, expected: bool
) -> None:
    assert is_member({"event": "E", measure: "x", "op": op, "value": bound}, *values) is expected


@pytest.mark.parametrize(
    ("op", "value", "expected"),
    [
        ("equals", 4, True),
        ("equals", 4.0, True),
        ("not_equals", 5, True),
        ("any_of", [1, 4], True),
        ("none_of", [1, 4], False),
        ("greater_than", 3.5, True),
        ("at_least", 5, False),
        ("less_than", 4, False),
        ("at_most", 4, True),
        ("between", [4, 9], True),
    ],
)
def test_reading_08_distinct_compares_exact_values_by_every_number_operator(
    op: str, value: Any, expected: bool
) -> None:
    different = (1, 1.0, "1", True, 2**53 + 1, None, [1], {"a": 1})
    assert is_member({"event": "E", "distinct": "x", "op": op, "value": value}, *different) is (
        expected
    )


@pytest.mark.parametrize("where", [{"event": "E"}, {"related": "E"}])
def test_reading_08_distinct_is_0_with_no_values(where: dict[str, Any]) -> None:
    assert is_member({**where, "distinct": "x", "op": "at_most", "value": 0})
    assert is_member({**where, "distinct": "x", "op": "less_than", "value": 0.5})
    assert not is_member({**where, "distinct": "x", "op": "greater_than", "value": 0})


def test_s4_distinct_values_leave_at_the_exact_instant() -> None:
    where = {"event": "E", "distinct": "x", "op": "at_least", "value": 2, "within": "10ms"}
    story = Story(where)
    for at, value in ((T, "a"), (T + 1, "b"), (T + 2, "a"), (T + 3, "a")):
        story.track(at, "E", x=value)
    story.pass_to(T + 50)
    assert story.changes == [(True, T + 1, "event"), (False, T + 11, "time")]


def test_s4_first_and_last_go_by_instant_and_message_id() -> None:
    last = Story({"last": "E", "property": "x", "op": "equals", "value": "b"})
    first = Story({"first": "E", "property": "x", "op": "equals", "value": "b"})
    for story in (first, last):
        assert not story.is_member(T)
        story.happen(T + 5, "track", name="E", message_id="m2", properties={"x": "a"})
        assert not story.is_member(T + 5)
        story.happen(T + 6, "track", name="E", at=T + 5, message_id="m3", properties={"x": "b"})
    assert last.is_member(T + 6)
    assert not first.is_member(T + 6)
    first.happen(T + 7, "track", name="E", at=T + 4, message_id="m9", properties={"x": "b"})
    assert first.is_member(T + 7)


@pytest.mark.parametrize("end", ["first", "last"])
@pytest.mark.parametrize("values", [(1, 2), (2, 1)])
def test_s4_of_two_sources_events_with_one_instant_and_id_either_will_do(
    end: str, values: tuple[int, int]
) -> None:
    def told(value: int, asked: int) -> Story:
        story = Story({end: "E", "property": "x", "op": "equals", "value": asked})
        story.happen(T, "track", name="E", message_id="m", properties={"x": value})
        return story

    for asked, expected in ((1, True), (2, True), (3, False)):
        together, winner = told(values[0], asked), told(values[0], asked)
        together.happen(T, "track", name="E", message_id="m", properties={"x": values[1]})
        winner.absorb(told(values[1], asked), T)
        assert together.is_member(T) is winner.is_member(T) is expected


def test_s4_first_never_performed_is_false_and_its_where_filters() -> None:
    absent = Story({"first": "E", "property": "x", "op": "is_absent"})
    absent.track(T, "Other")
    assert not absent.is_member(T)
    absent.track(T + 1, "E")
    assert absent.is_member(T + 1)
    clause = {"property": "due", "op": "in_last", "value": "10ms"}
    where = {"last": "E", "where": [clause], "property": "x", "op": "equals", "value": 1}
    story = Story(where)
    story.track(T, "E", x=1, due=text_of(T + 20))
    story.track(T + 1, "E", x=2, due=text_of(T + 10))
    story.pass_to(T + 60)
    assert story.changes == [(True, T + 20, "time"), (False, T + 30, "time")]


class Rows(Story):
    """One profile that is told of rows of the relation `orders`."""

    def say(
        self,
        now: int,
        op: str,
        *,
        key: str = "k",
        position: str = "1",
        columns: dict[str, Any] | None = None,
        **more: Any,
    ) -> None:
        row = {"key": key, "op": op, "position": position, "columns": {**(columns or {}), **more}}
        self.happen(now, "relation", name="orders", row=row)


def test_reading_11_a_column_is_an_exact_name() -> None:
    clause = {"column": "a.b", "op": "equals", "value": 1}
    rows = Rows({"related": "orders", "where": [clause]})
    rows.say(T, "link", a={"b": 1})
    assert not rows.is_member(T)
    rows.say(T + 1, "link", position="2", columns={"a.b": 1})
    assert rows.is_member(T + 1)


def test_reading_11_measures_and_distinct_over_a_column() -> None:
    over = {"related": "orders", "where": [{"column": "status", "op": "equals", "value": "open"}]}
    for asked, expected in (
        ({"sum": "total", "op": "at_least", "value": 30}, True),
        ({"average": "total", "op": "at_least", "value": 15.1}, False),
        ({"minimum": "total", "op": "at_most", "value": 10}, True),
        ({"maximum": "total", "op": "greater_than", "value": 20}, False),
        ({"distinct": "total", "op": "equals", "value": 3}, True),
        ({"count": {"exactly": 3}}, True),
    ):
        rows = Rows({**over, **asked})
        for key, (status, total) in enumerate(
            (("open", 10), ("open", 20), ("open", "many"), ("shut", 99))
        ):
            rows.say(T, "link", key=str(key), status=status, total=total)
        assert rows.is_member(T) is expected, asked


def test_s4_related_rows_of_the_greatest_position_count_in_any_order() -> None:
    told: list[tuple[str, str, dict[str, Any]]] = [
        ("link", "1", {"v": 1}),
        ("unlink", "2", {}),
        ("link", "3", {"v": 3}),
        ("unlink", "3", {}),
        ("link", "2", {"v": 2}),
    ]
    where = {"related": "orders", "where": [{"column": "v", "op": "equals", "value": 3}]}
    for seed in range(20):
        Random(seed).shuffle(told)
        one, other = Rows(where), Rows(where)
        for number, (op, position, columns) in enumerate(told):
            (one if number % 2 else other).say(T, op, position=position, columns=columns)
        one.absorb(other, T + 1)
        assert one.is_member(T + 1)


def test_s4_a_row_that_moves_away_and_back_belongs_to_its_last_owner() -> None:
    where = {"related": "orders"}
    a, b = Rows(where), Rows(where)
    a.say(T, "link", position="1")
    a.say(T + 1, "unlink", position="2")
    b.say(T + 1, "link", position="2")
    assert (a.is_member(T + 1), b.is_member(T + 1)) == (False, True)
    b.say(T + 2, "unlink", position="3")
    a.say(T + 2, "link", position="3")
    assert (a.is_member(T + 2), b.is_member(T + 2)) == (True, False)
    b.absorb(a, T + 3)
    assert b.is_member(T + 3)
    assert not a.is_member(T + 3)


def test_s4_a_grave_keeps_a_late_link_away_and_goes_after_its_time() -> None:
    rows = Rows({"related": "orders"})
    rows.say(T, "unlink", position="2")
    rows.say(T + 1, "link", position="1")
    assert not rows.is_member(T + 1)
    rows.say(T + GRAVE, "link", key="other")
    assert len(rows.profile.facts.rows("orders").rows) == 1


def test_s4_dates_in_a_column_are_asked_at_stream_time() -> None:
    clause = {"column": "due", "op": "in_next", "value": "5ms"}
    rows = Rows({"related": "orders", "where": [clause]})
    rows.say(T, "link", due=text_of(T + 20))
    rows.pass_to(T + 50)
    assert rows.changes == [(True, T + 15, "time"), (False, T + 20, "time")]


def test_s4_more_rows_than_the_limit_overflow_and_freeze_the_membership() -> None:
    rows = Rows({"related": "orders", "count": {"at_least": 2}}, limit=3)
    for key in range(5):
        rows.say(T + key, "link", key=str(key))
    assert rows.profile.overflows == 1
    assert rows.is_member(T + 9)
    rows.say(T + 10, "unlink", key="0", position="2")
    assert rows.is_member(T + 10)
    assert not rows.profile.facts.rows("orders").rows


@pytest.mark.parametrize(
    "row", [None, "k", {"key": "k"}, {"key": 1, "op": "link", "position": "1"}]
)
def test_s4_a_relation_event_without_a_row_is_refused(row: Any) -> None:
    rows = Rows({"related": "orders"})
    with pytest.raises(Unreadable):
        rows.happen(T, "relation", name="orders", row=row)
    assert not rows.profile.exists


def test_s4_the_limit_of_entries_is_a_setting() -> None:
    settings = SegmenterSettings(most_entries=3)
    stage = Segmenter(settings, lambda: MappingProxyType({}), Past([[]], [0]))
    stage.assigned(0, Table(), {})
    assert stage._partitions[0].catalogue.limit == 3


def test_s4_a_relation_is_no_event_of_that_name() -> None:
    rows = Rows({"event": "orders"})
    rows.say(T, "link")
    assert not rows.is_member(T)


def test_reading_12_percent_is_the_digest_of_salt_zero_and_id() -> None:
    digest = blake2b(b"pepper\0p_1", digest_size=8).digest()
    share = int.from_bytes(digest, "big") / 2**64 * 100
    below, above = int(share * 100) / 100, int(share * 100 + 1) / 100
    assert not is_member({"percent": below, "salt": "pepper"})
    assert is_member({"percent": above, "salt": "pepper"})
    assert is_member({"percent": 100, "salt": "pepper"})
    assert not is_member({"percent": 0, "salt": "pepper"})


def test_s5_percent_goes_by_the_winners_id() -> None:
    where = {"all": [{"percent": 50, "salt": "a"}, {"event": "E"}]}
    winner, loser = Story(where), Story(where)
    loser.profile.id = "p_2"
    loser.track(T, "E")
    winner.absorb(loser, T + 1)
    assert winner.is_member(T + 1) is is_member(where)
    assert not loser.is_member(T + 1)
