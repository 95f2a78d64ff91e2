"""YAML text into values with lines, and every fault in it."""

import pytest

from services.control.nodes import line_of
from services.control.yaml_text import MAX_NODES, read_yaml


def test_several_documents_and_empty_ones_are_left_out() -> None:
    read = read_yaml("# nothing\n---\na: 1\n---\n---\nb: on\n...\n")
    assert [node.value for node in read.documents] == [{"a": 1}, {"b": "on"}]
    assert read.complete


def test_keys_are_always_text() -> None:
    [node] = read_yaml("1: a\ntrue: b\nno: c\n").documents
    assert node.value == {"1": "a", "true": "b", "no": "c"}


def test_quoted_words_and_tagged_words_are_text() -> None:
    [node] = read_yaml("['1', \"true\", !!str 2, !!int 3]").documents
    assert node.value == ["1", "true", "2", 3]


TEXT = """\
where:
  all:
    - trait: plan
      op: equals
    - any:
        - {event: a,
           within: 1d}
traits.email: x
traits: {email: y}
"""


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ("", 1),
        ("where", 1),
        ("where.all", 2),
        ("where.all[0]", 3),
        ("where.all[0].op", 4),
        ("where.all[0].value", 3),
        ("where.all[1].any[0]", 6),
        ("where.all[1].any[0].within", 7),
        ("where.all[7].op", 2),
        ("traits.email", 8),
        ("traits", 9),
        ("nothing.at.all", 1),
    ],
)
def test_every_place_has_a_line_and_a_missing_one_that_of_its_parent(place: str, line: int) -> None:
    [node] = read_yaml(TEXT).documents
    assert line_of(node, place) == line


def test_an_alias_has_the_value_and_the_lines_of_its_anchor() -> None:
    [node] = read_yaml("a: &x\n  b: 1\nc: *x\n").documents
    assert node.value == {"a": {"b": 1}, "c": {"b": 1}}
    assert line_of(node, "c") == 3
    assert line_of(node, "c.b") == 2


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("a: 1\nb: 2\na: 3\n", [(3, "the key `a` is already in this mapping, on line 1")]),
        (
            "a: {x: 1, x: 2}\nb: {y: 1,\n y: 2}\n",
            [
                (1, "the key `x` is already in this mapping, on line 1"),
                (3, "the key `y` is already in this mapping, on line 2"),
            ],
        ),
        ("a: 1\nb: .inf\n", [(2, "infinity and not-a-number are no values here")]),
        ('a:\n  "\\ud800"\n', [(2, "half of a surrogate pair is no character")]),
        ("a: !secret b\n", [(1, "the tag `!secret` is not known here")]),
        ("a: !!set {b}\n", [(1, "the tag `tag:yaml.org,2002:set` is not known here")]),
        (
            "<<: 1\n",
            [(1, "merge keys (`<<`) are not part of YAML 1.2; write the keys out")],
        ),
    ],
)
def test_reading_goes_on_behind_a_fault(text: str, faults: list[tuple[int, str]]) -> None:
    read = read_yaml(text)
    assert [(fault.line, fault.message) for fault in read.faults] == faults
    assert read.complete
    assert len(read.documents) == 1


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a: 1\n b: 2\n", 2, "not YAML: mapping values are not allowed here"),
        ("a: 'x\n", 2, "not YAML: found unexpected end of stream"),
        ("a:\n\t- 1\n", 2, "not YAML: found character '\\t' that cannot start any token"),
        ("a: *x\n", 1, "not YAML: no anchor &x comes before *x"),
        ("a: &x [*x]\n", 1, "not YAML: no anchor &x comes before *x"),
        ("? [a]\n: 1\n", 1, "a key must be a word"),
        ("[" * 500, 1, "nested deeper than 64"),
    ],
)
def test_reading_stops_where_it_cannot_go_on(text: str, line: int, message: str) -> None:
    read = read_yaml(f"first: document\n---\n{text}")
    assert [(fault.line - 2, fault.message) for fault in read.faults] == [(line, message)]
    assert not read.complete
    assert [node.value for node in read.documents] == [{"first": "document"}]


def test_a_control_character_makes_the_whole_text_unreadable() -> None:
    read = read_yaml("a: 1\n---\nb: \x07\n")
    assert [(f.line, f.message) for f in read.faults] == [(3, "not YAML: a control character")]
    assert not read.complete


def test_anchors_of_one_document_are_unknown_in_the_next() -> None:
    read = read_yaml("a: &x 1\n---\nb: *x\n")
    assert [fault.line for fault in read.faults] == [3]


def test_aliases_that_would_fill_the_memory_are_refused() -> None:
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 30)]
    read = read_yaml("\n".join(lines))
    assert [(fault.line, fault.message) for fault in read.faults] == [
        (5, f"more than {MAX_NODES} values, aliases written out")
    ]


def test_two_halves_of_a_character_are_one_as_json_writes_it() -> None:
    [node] = read_yaml('{"\\ud83d\\ude00": "a\\ud835\\udcb3"}').documents
    assert node.value == {"\U0001f600": "a\U0001d4b3"}
