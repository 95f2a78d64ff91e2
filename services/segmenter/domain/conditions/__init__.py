"""The condition kinds: one folder each, one line here."""

from collections.abc import Callable, Mapping
from typing import Any

from services.segmenter.domain.conditions.event.leaf import parse_event
from services.segmenter.domain.conditions.leaf import Leaf
from services.segmenter.domain.conditions.sequence.leaf import parse_sequence
from services.segmenter.domain.conditions.trait.leaf import parse_trait
from services.segmenter.domain.shape import Piece

LEAVES: Mapping[str, Callable[[Piece], Leaf[Any] | None]] = {
    "trait": parse_trait,
    "event": parse_event,
    "sequence": parse_sequence,
}
"""The key that names the kind → its parser."""

LATER = ("first", "last", "related", "percent")
"""Part of the language, refused by name until they have a file here."""
