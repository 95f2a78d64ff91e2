"""From a document to a condition, with every problem found at once."""

import re

from schemas.predicates.shape import ROOT, Piece
from schemas.predicates.words import probably, unknown_word
from services.segmenter.domain.conditions import LEAVES
from services.segmenter.domain.conditions.percent.leaf import Percent
from services.segmenter.domain.tree import (
    All,
    AnyOf,
    Asked,
    Bucket,
    Condition,
    InSegment,
    Not,
    ends,
)

DEEPEST = 8
MOST_LEAVES = 100

SEGMENT_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")

_KINDS = ("all", "any", "not", "in_segment", *LEAVES)
_ELSEWHERE = ("within", "between")
"""Keys that stand beside the kind, and look like one."""


def parse_condition(piece: Piece) -> Condition | None:
    """The condition in the document; None when something in it was refused."""
    found = _condition(piece, 0)
    if found is not None and sum(1 for _ in ends(found)) > MOST_LEAVES:
        Piece(None, ROOT, piece.problems).refuse(f"has more than {MOST_LEAVES} leaves")
    return found


def _condition(piece: Piece, depth: int) -> Condition | None:
    if type(piece.value) is not dict:
        piece.refuse("must be an object with one kind of condition")
        return None
    kind = _kind(piece)
    match kind:
        case None:
            return None
        case "all" | "any" | "not":
            return _group(piece, kind, depth + 1)
        case "in_segment":
            return _reference(piece)
    match LEAVES[kind](piece):
        case None:
            return None
        case Percent() as percent:
            return Bucket(percent)
        case leaf:
            return Asked(leaf, leaf.initial)


def _kind(piece: Piece) -> str | None:
    written = [kind for kind in _KINDS if piece.has(kind)]
    if len(written) == 1:
        return written[0]
    if written:
        piece.refuse(f"is both {written[0]} and {written[1]}; a condition is of one kind")
    elif len(piece.value) == 1:
        word = next(iter(piece.value))
        piece.at(str(word)).refuse(unknown_word("condition", str(word), _KINDS))
    else:
        _refuse_kindless(piece)
    return None


def _refuse_kindless(piece: Piece) -> None:
    """Name the key that was probably meant to be the kind."""
    for word in piece.value:
        if word not in _ELSEWHERE and probably(str(word), _KINDS) is not None:
            piece.at(str(word)).refuse(unknown_word("condition", str(word), _KINDS))
            return
    piece.refuse(f"needs exactly one of {', '.join(_KINDS)}")


def _group(piece: Piece, kind: str, depth: int) -> Condition | None:
    if depth > DEEPEST:
        piece.refuse(f"is nested more than {DEEPEST} deep")
        return None
    piece.is_object((kind,))
    inner = piece.at(kind)
    if kind == "not":
        member = _condition(inner, depth)
        return None if member is None else Not(member)
    found = [_condition(item, depth) for item in inner.items(low=1)]
    members = tuple(member for member in found if member is not None)
    if not members or len(members) < len(found):
        return None
    return All(members) if kind == "all" else AnyOf(members)


def _reference(piece: Piece) -> Condition | None:
    piece.is_object(("in_segment",))
    target = piece.at("in_segment")
    if type(target.value) is not str or SEGMENT_ID.fullmatch(target.value) is None:
        target.refuse("must be the id of a segment")
        return None
    return InSegment(target.value)
