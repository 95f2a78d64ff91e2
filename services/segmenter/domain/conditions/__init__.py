"""The condition kinds: one folder each, one line here."""

from collections.abc import Callable, Mapping
from typing import Any

from schemas.predicates.shape import Piece
from services.segmenter.domain.conditions.event.leaf import parse_event
from services.segmenter.domain.conditions.first_last.leaf import parse_first, parse_last
from services.segmenter.domain.conditions.leaf import Leaf
from services.segmenter.domain.conditions.percent.leaf import Percent, parse_percent
from services.segmenter.domain.conditions.related.leaf import parse_related
from services.segmenter.domain.conditions.sequence.leaf import parse_sequence
from services.segmenter.domain.conditions.trait.leaf import parse_trait

LEAVES: Mapping[str, Callable[[Piece], Leaf[Any] | Percent | None]] = {
    "trait": parse_trait,
    "event": parse_event,
    "first": parse_first,
    "last": parse_last,
    "sequence": parse_sequence,
    "related": parse_related,
    "percent": parse_percent,
}
"""The key that names the kind → its parser."""
