"""What holds between documents."""

from collections.abc import Mapping

import pytest

from schemas.records import Kind
from services.control.documents import Document
from services.control.references import (
    References,
    audience_segments,
    broken_references,
    member_segments,
    repeated_ids,
)
from services.control.yaml_text import read_yaml

REFERENCES: Mapping[Kind, References] = {
    "segment": member_segments,
    "destination": audience_segments,
    "identity": lambda body: iter(()),
}


def documents(text: str) -> list[Document]:
    return [
        Document(node.value["kind"], node.value["id"], node.value, "f.yaml", node)
        for node in read_yaml(text).documents
    ]


def segments(**refers_to: str) -> list[Document]:
    """Segments, each with the ids that it refers to."""
    return documents(
        "".join(
            f"---\nkind: segment\nid: {id}\nwhere:\n  any:\n"
            + "".join(f"    - in_segment: {other}\n" for other in others.split())
            for id, others in refers_to.items()
        )
    )


def broken(given: list[Document]) -> list[str]:
    return [str(fault) for fault in broken_references(given, REFERENCES)]


def test_an_audience_needs_its_segment() -> None:
    text = """\
kind: destination
id: ads
audiences:
  - {segment: carts}
  - segment: cart
---
kind: segment
id: carts
"""
    assert broken(documents(text)) == [
        "f.yaml:5 destination ads: audiences[1].segment: "
        "there is no segment `cart`, did you mean `carts`?"
    ]


def test_a_condition_needs_its_segment_at_any_depth() -> None:
    text = """\
kind: segment
id: a
where:
  all:
    - trait: x
    - not:
        any:
          - in_segment: zzz
"""
    assert broken(documents(text)) == [
        "f.yaml:8 segment a: where.all[1].not.any[0].in_segment: there is no segment `zzz`"
    ]


@pytest.mark.parametrize(
    ("given", "circles"),
    [
        (segments(b="a", a="b"), ["a → b → a"]),
        (segments(c="a", a="b", b="c"), ["a → b → c → a"]),
        (segments(a="b c", b="d", c="d", d="b"), ["b → d → b"]),
        (segments(a="b", b="a c", c="b"), ["a → b → a", "b → c → b"]),
        (segments(a="b c", b="d", c="d", d="e", e="f", f="e"), ["e → f → e"]),
    ],
)
def test_segments_may_not_lead_in_a_circle(given: list[Document], circles: list[str]) -> None:
    found = [line.split("circle: ")[1] for line in broken(given) if "circle" in line]
    assert sorted(found) == circles


def test_segments_that_share_a_segment_are_no_circle() -> None:
    assert broken(segments(a="b c d", b="d", c="d b", d="e", e="")) == []


def test_a_circle_is_placed_at_the_reference_that_closes_it() -> None:
    assert broken(segments(a="b", b="a")) == [
        "f.yaml:6 segment a: where.any[0].in_segment: segments may not lead in a circle: a → b → a"
    ]


def test_a_long_chain_is_fine() -> None:
    chain = {f"s{n}": f"s{n + 1}" for n in range(3000)}
    assert len(broken(segments(**chain))) == 1


def test_an_id_is_unique_within_its_kind() -> None:
    text = "kind: segment\nid: a\n---\nkind: destination\nid: a\n---\nkind: segment\nid: a\n"
    assert [str(fault) for fault in repeated_ids(documents(text))] == [
        "f.yaml:8 segment a: id: another segment has this id, at f.yaml:1"
    ]


def test_a_workspace_has_one_identity_document() -> None:
    text = "kind: identity\nid: a\n---\nkind: identity\nid: b\n"
    assert [str(fault) for fault in repeated_ids(documents(text))] == [
        "f.yaml:4 identity b: kind: a workspace has one identity document; another is at f.yaml:1"
    ]
