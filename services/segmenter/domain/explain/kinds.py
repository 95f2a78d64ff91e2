"""Leaf kind → how it is put into words and how it is explained; one line each."""

from collections.abc import Callable, Mapping
from typing import Any

from services.segmenter.domain.conditions.aggregate import explain as aggregate
from services.segmenter.domain.conditions.aggregate.leaf import EventAggregate
from services.segmenter.domain.conditions.distinct import explain as distinct
from services.segmenter.domain.conditions.distinct.leaf import EventDistinct
from services.segmenter.domain.conditions.event import explain as event
from services.segmenter.domain.conditions.event.leaf import EventCount
from services.segmenter.domain.conditions.first_last import explain as first_last
from services.segmenter.domain.conditions.first_last.leaf import EndEvent
from services.segmenter.domain.conditions.leaf import Leaf
from services.segmenter.domain.conditions.related import explain as related
from services.segmenter.domain.conditions.related.leaf import Related
from services.segmenter.domain.conditions.sequence import explain as sequence
from services.segmenter.domain.conditions.sequence.leaf import Sequence
from services.segmenter.domain.conditions.trait import explain as trait
from services.segmenter.domain.conditions.trait.leaf import SteadyTrait, Trait
from services.segmenter.domain.explain.reading import Reading
from services.segmenter.domain.explain.remembered import Remembered
from services.segmenter.domain.explain.words import Written

Asks = Callable[[Written], str]
Explains = Callable[[Any, Written, Remembered, int], Reading]

KINDS: Mapping[type[Leaf[Any]], tuple[Asks, Explains]] = {
    Trait: (trait.asks, trait.explain),
    SteadyTrait: (trait.asks, trait.explain_steady),
    EventCount: (event.asks, event.explain),
    EventAggregate: (aggregate.asks, aggregate.explain),
    EventDistinct: (distinct.asks, distinct.explain),
    EndEvent: (first_last.asks, first_last.explain),
    Sequence: (sequence.asks, sequence.explain),
    Related: (related.asks, related.explain),
}
