"""What is refused, where, and with which words (segments.md §4, §9.2, §9.13, §9.17, §9.20)."""

from typing import Any

import pytest

from schemas.predicates.durations import duration
from schemas.predicates.operators import OPERATORS
from schemas.predicates.words import MEANT
from schemas.problems import Invalid
from services.segmenter.domain.conditions import LEAVES
from services.segmenter.domain.conditions.measures import QUESTIONS
from services.segmenter.domain.segment import cycles, parse_segment, references
from tests.unit.segmenter.story import segment

LEAF = {"trait": "plan", "op": "exists"}


def problems(where: Any) -> list[tuple[str, str]]:
    with pytest.raises(Invalid) as caught:
        segment(where)
    return [(problem.place, problem.message) for problem in caught.value.problems]


def places(where: Any) -> list[str]:
    return [place for place, _ in problems(where)]


def nested(depth: int) -> Any:
    return LEAF if depth == 0 else {"not": nested(depth - 1)}


def test_s4_all_problems_at_once_with_their_places() -> None:
    where = {
        "all": [
            {"trait": "x", "op": "equals", "value": 1},
            {
                "event": "E",
                "where": [{"property": "p", "op": "equal", "value": 1}],
                "within": "30 minutes",
            },
            {"sequence": [{"event": "A"}, {"absent": {"event": "B"}, "wiat": "1m"}]},
        ]
    }
    assert problems(where) == [
        ("all[1].where[0].op", 'unknown operator "equal", did you mean "equals"?'),
        ("all[1].within", '"30 minutes" is not a duration; write 30m'),
        ("all[2].sequence[1].wiat", 'unknown key "wiat", did you mean "wait"?'),
        ("all[2].sequence[1].wait", "is missing"),
    ]


PLACES: list[tuple[Any, list[str]]] = [
    ("text", ["where"]),
    ({}, ["where"]),
    ({"all": []}, ["all"]),
    ({"all": {}}, ["all"]),
    ({"not": []}, ["not"]),
    ({"al": [LEAF]}, ["al"]),
    ({"all": [LEAF], "any": [LEAF]}, ["where"]),
    ({"all": [LEAF], "extra": 1}, ["extra"]),
    ({"any": [{"not": {"trait": "a"}}]}, ["any[0].not.op"]),
    ({"trait": "a..b", "op": "exists"}, ["trait"]),
    ({"trait": "", "op": "exists"}, ["trait"]),
    ({"trait": "a", "op": "exists", "value": None}, ["value"]),
    ({"trait": "a", "op": "is_absent", "value": 1}, ["value"]),
    ({"trait": "a", "op": "equals"}, ["value"]),
    ({"trait": "a", "op": "equals", "value": None}, ["value"]),
    ({"trait": "a", "op": "equals", "value": [1]}, ["value"]),
    ({"trait": "a", "op": ["equals"], "value": 1}, ["op"]),
    ({"trait": "a", "op": "any_of", "value": "x"}, ["value"]),
    ({"trait": "a", "op": "any_of", "value": ["x", None]}, ["value[1]"]),
    ({"trait": "a", "op": "between", "value": [2, 1]}, ["value"]),
    ({"trait": "a", "op": "between", "value": [1]}, ["value"]),
    ({"trait": "a", "op": "between", "value": [1, "2"]}, ["value[1]"]),
    ({"trait": "a", "op": "at_least", "value": True}, ["value"]),
    ({"trait": "a", "op": "at_least", "value": 1, "ignore_case": True}, ["ignore_case"]),
    ({"trait": "a", "op": "equals", "value": "x", "ignore_case": "yes"}, ["ignore_case"]),
    ({"trait": "a", "op": "before", "value": "2026-01-01T00:00:00"}, ["value"]),
    ({"trait": "a", "op": "on", "value": "2026-01-01T00:00:00Z"}, ["value"]),
    ({"trait": "a", "op": "in_last", "value": "0d"}, ["value"]),
    ({"trait": "a", "op": "exists", "for_at_least": "0s"}, ["for_at_least"]),
    ({"event": "E", "within": "0s"}, ["within"]),
    ({"event": "E", "within": 5}, ["within"]),
    ({"event": "E", "within": "1d", "since": "2026-01-01"}, ["since"]),
    ({"event": "E", "since": "2026-01-01T00:00:00"}, ["since"]),
    ({"event": "E", "between": ["2026-01-02", "2026-01-01"]}, ["between"]),
    ({"event": "E", "between": ["2026-01-02"]}, ["between"]),
    ({"event": "E", "between": ["2026-01-02", "x"]}, ["between[1]"]),
    ({"event": ""}, ["event"]),
    ({"event": "E", "where": {"property": "p"}}, ["where"]),
    ({"event": "E", "where": [{"op": "exists"}]}, ["where[0].property"]),
    ({"event": "E", "where": [{"property": "$context.", "op": "exists"}]}, ["where[0].property"]),
    ({"event": "E", "count": {}}, ["count"]),
    ({"event": "E", "count": {"at_least": 1, "at_most": 2}}, ["count"]),
    ({"event": "E", "count": {"at_least": -1}}, ["count.at_least"]),
    ({"event": "E", "count": {"at_least": True}}, ["count.at_least"]),
    ({"event": "E", "count": {"exactly": 1.0}}, ["count.exactly"]),
    ({"event": "E", "wihtin": "1d"}, ["wihtin"]),
    ({"sequence": [{"event": "A"}]}, ["sequence"]),
    ({"sequence": [{"event": "A"}] * 6}, ["sequence"]),
    ({"sequence": "A"}, ["sequence"]),
    ({"sequence": [{"event": "A", "within": "1d"}, {"event": "B"}]}, ["sequence[0].within"]),
    (
        {"sequence": [{"absent": {"event": "A"}, "wait": "1m"}, {"event": "B"}]},
        ["sequence[0].absent"],
    ),
    (
        {"sequence": [{"event": "A"}, {"absent": {"event": "B"}, "wait": "0m"}]},
        ["sequence[1].wait"],
    ),
    ({"sequence": [{"event": "A"}, {"event": "B"}], "by": "a..b"}, ["by"]),
    ({"event": "E", "sum": "x", "op": "equals", "value": 1}, ["op"]),
    ({"event": "E", "sum": "x", "value": 1}, ["op"]),
    ({"event": "E", "sum": "", "op": "at_least", "value": 1}, ["sum"]),
    ({"event": "E", "sum": "x", "op": "between", "value": [2, 1]}, ["value"]),
    ({"event": "E", "sum": "x", "op": "at_least", "value": 1, "count": {}}, ["count"]),
    ({"event": "E", "op": "at_least", "value": 1}, ["op", "value"]),
    ({"event": "E", "distinct": "x", "op": "contains", "value": "1"}, ["op"]),
    ({"event": "E", "distinct": "x", "op": "equals", "value": "1"}, ["value"]),
    ({"event": "E", "distinct": "x", "op": "any_of", "value": [1, True]}, ["value"]),
    ({"event": "E", "distinct": "x.", "op": "equals", "value": 1}, ["distinct"]),
    ({"first": "E", "op": "exists"}, ["property"]),
    ({"last": "E", "property": "x"}, ["op"]),
    ({"last": "E", "property": "x", "op": "exists", "within": "1d"}, ["within"]),
    ({"first": "", "property": "x", "op": "exists"}, ["first"]),
    ({"first": "E", "last": "E", "property": "x", "op": "exists"}, ["where"]),
    ({"related": "", "count": {"at_least": 1}}, ["related"]),
    ({"related": "r", "within": "1d"}, ["within"]),
    (
        {"related": "r", "where": [{"property": "x", "op": "exists"}]},
        ["where[0].property", "where[0].column"],
    ),
    ({"related": "r", "sum": "x", "op": "at_least"}, ["value"]),
    ({"related": "r", "distinct": "x", "op": "starts_with", "value": "a"}, ["op"]),
    ({"percent": 5}, ["salt"]),
    ({"percent": 5, "salt": ""}, ["salt"]),
    ({"percent": 100.1, "salt": "a"}, ["percent"]),
    ({"percent": -1, "salt": "a"}, ["percent"]),
    ({"percent": "5", "salt": "a"}, ["percent"]),
    ({"percent": True, "salt": "a"}, ["percent"]),
    ({"percent": 33.333, "salt": "a"}, ["percent"]),
    ({"percent": 5, "salt": "a", "within": "1d"}, ["within"]),
    ({"in_segment": "Not An Id"}, ["in_segment"]),
    ({"in_segment": "s"}, ["where"]),
]


@pytest.mark.parametrize(("where", "expected"), PLACES)
def test_reading_17_places_start_below_where(where: Any, expected: list[str]) -> None:
    assert places(where) == expected


def test_reading_13_nesting_up_to_8_and_100_leaves() -> None:
    segment(nested(8))
    assert places(nested(9)) == [".".join(["not"] * 8)]
    segment({"all": [LEAF] * 100})
    assert places({"all": [LEAF] * 101}) == ["where"]
    segment({"all": [{"in_segment": "other"}] * 100})


def test_a_document_is_refused_with_everything_around_the_condition_too() -> None:
    document = {"kind": "segment", "id": "Bad Id", "nmae": "x", "description": 5, "state": "live"}
    with pytest.raises(Invalid) as caught:
        parse_segment(document, version=1, state="live")
    assert [problem.place for problem in caught.value.problems] == [
        "nmae",
        "state",
        "id",
        "description",
        "where",
    ]
    assert 'did you mean "name"?' in caught.value.problems[0].message
    assert "`afflux segment pause`" in caught.value.problems[1].message


SUGGESTIONS: list[tuple[Any, str, str]] = [
    ({"trait": "a", "op": word, "value": 1}, "op", f'did you mean "{meant}"?')
    for word, meant in (
        ("==", "equals"),
        ("IS NOT", "not_equals"),
        ("in", "any_of"),
        ("gte", "at_least"),
        ("more_than", "greater_than"),
        ("greater_than_or_equal", "at_least"),
        ("<=", "at_most"),
        ("begins-with", "starts_with"),
        ("present", "exists"),
        ("not_exists", "is_absent"),
        ("older_than", "over_ago"),
        ("equal", "equals"),
    )
]
SUGGESTIONS += [
    ({"trait": "a", "op": "%", "value": 1}, "op", "known here: equals, not_equals, any_of"),
    ({"trait": "a", "operator": "exists", "op": "exists"}, "operator", 'did you mean "op"?'),
    ({"all": [LEAF], "within": "7d"}, "within", "known here: all"),
    ({"and": [LEAF]}, "and", 'did you mean "all"?'),
    ({"or": [LEAF]}, "or", 'did you mean "any"?'),
    ({"segment": "a"}, "segment", 'did you mean "in_segment"?'),
    ({"event": "E", "sum": "x", "op": "equals", "value": 1}, "op", "known here: greater_than, "),
    ({"event": "E", "avg": "x"}, "avg", "known here: event, where, count"),
    (
        {"event": "E", "sum": "x", "average": "x", "op": "at_least", "value": 1},
        "average",
        "one of sum, average, minimum, maximum, distinct, count",
    ),
    (
        {"related": "r", "sum": "x", "count": {"at_least": 1}, "op": "at_least", "value": 1},
        "count",
        "one of sum, average, minimum, maximum, distinct, count",
    ),
    (
        {"sequence": [{"absent": {"event": "A"}, "wait": "1m"}, {"event": "B"}]},
        "sequence[0].absent",
        "only the last step",
    ),
    ({"event": "E", "since": "2026-01-01T00:00:00"}, "since", "write 2026-01-01T00:00:00Z"),
    ({"trait": "a", "op": "before", "value": "2026-01-01 08:00:00"}, "value", "08:00:00Z"),
    ({"trait": "a", "op": "on", "value": "2026-01-01T00:00:00Z"}, "value", "such as 2026-01-01"),
]


@pytest.mark.parametrize(("where", "place", "words"), SUGGESTIONS)
def test_s4_an_error_names_the_place_and_what_was_probably_meant(
    where: Any, place: str, words: str
) -> None:
    ((found, sentence),) = problems(where)
    assert found == place
    assert words in sentence


def test_s4_words_from_elsewhere_stand_for_words_of_the_language() -> None:
    known = {*OPERATORS, *QUESTIONS, *LEAVES, "all", "any", "in_segment", "op", "ignore_case"}
    assert set(MEANT.values()) <= known
    assert not MEANT.keys() & set(OPERATORS)


def test_s1_durations() -> None:
    assert [duration(text) for text in ("5ms", "90s", "30m", "12h", "7d", "4w")] == [
        5,
        90_000,
        1_800_000,
        43_200_000,
        604_800_000,
        2_419_200_000,
    ]
    for wrong in ("", "5", "d", "1.5h", "-1d", "1 d", "1D", "0s", "٣d", 5, None, "9" * 18 + "w"):
        assert isinstance(duration(wrong), str), wrong


def test_s4_references_and_cycles() -> None:
    a = segment({"any": [{"in_segment": "b"}, {"not": {"in_segment": "c"}}]}, name="a")
    b = segment({"in_segment": "c"}, name="b")
    c = segment({"in_segment": "a"}, name="c")
    d = segment({"in_segment": "a"}, name="d")
    assert references(a) == {"b", "c"}
    assert cycles([a, b, d]) == ()
    assert cycles([a, b, c, d]) == (("a", "b", "c"),)


def test_leaves_written_the_same_are_one_leaf() -> None:
    one = segment({"event": "E", "within": "1d"})
    other = segment({"not": {"within": "1d", "event": "E"}})
    assert [leaf.key for leaf in one.leaves] == [leaf.key for leaf in other.leaves]
