"""What holds between documents: unique ids, references that lead somewhere, no cycles."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any

from schemas.records import Kind
from services.control.documents import Document, Fault, did_you_mean


@dataclass(frozen=True, slots=True)
class Reference:
    """A place in a document that names another document."""

    place: str
    kind: Kind
    id: str


References = Callable[[Mapping[str, Any]], Iterator[Reference]]


def audience_segments(body: Mapping[str, Any]) -> Iterator[Reference]:
    """The segments that a destination's audiences name."""
    audiences = body.get("audiences")
    for index, audience in enumerate(audiences if isinstance(audiences, list) else ()):
        if isinstance(audience, dict) and isinstance(segment := audience.get("segment"), str):
            yield Reference(f"audiences[{index}].segment", "segment", segment)


def member_segments(body: Mapping[str, Any]) -> Iterator[Reference]:
    """The segments that a segment's conditions name in `in_segment`."""
    return _conditions(body.get("where"), "where")


def _conditions(condition: Any, place: str) -> Iterator[Reference]:
    if not isinstance(condition, dict):
        return
    if isinstance(segment := condition.get("in_segment"), str):
        yield Reference(f"{place}.in_segment", "segment", segment)
    yield from _conditions(condition.get("not"), f"{place}.not")
    for key in ("all", "any"):
        members = condition.get(key)
        for index, member in enumerate(members if isinstance(members, list) else ()):
            yield from _conditions(member, f"{place}.{key}[{index}]")


def repeated_ids(documents: Sequence[Document]) -> Iterator[Fault]:
    """An id belongs to one document of its kind; there is at most one identity document."""
    first: dict[tuple[Kind, str], Document] = {}
    for document in documents:
        before = first.setdefault((document.kind, document.id), document)
        if before is not document:
            at = f"{before.file}:{before.node.line}"
            yield document.fault("id", f"another {document.kind} has this id, at {at}")
    identities = [document for (kind, _), document in first.items() if kind == "identity"]
    for document in identities[1:]:
        at = f"{identities[0].file}:{identities[0].node.line}"
        yield document.fault("kind", f"a workspace has one identity document; another is at {at}")


def broken_references(
    documents: Sequence[Document], references: Mapping[Kind, References]
) -> Iterator[Fault]:
    """References to documents that are not there, and segments that lead back to themselves."""
    known: dict[Kind, list[str]] = defaultdict(list)
    for document in documents:
        known[document.kind].append(document.id)
    for document in documents:
        for reference in references[document.kind](document.body):
            ids = tuple(known[reference.kind])
            if reference.id not in ids:
                near = did_you_mean(reference.id, ids)
                yield document.fault(
                    reference.place, f"there is no {reference.kind} `{reference.id}`{near}"
                )
    yield from _cycles({d.id: d for d in documents if d.kind == "segment"})


def _cycles(segments: Mapping[str, Document]) -> Iterator[Fault]:
    """One fault a cycle, in the segment of it whose id comes first.

    A segment that refers to itself is refused on its own.
    """
    places = {
        id: {r.id: r.place for r in member_segments(document.body) if r.id != id}
        for id, document in segments.items()
    }
    while cycle := _cycle(places):
        id, following = cycle[0], cycle[1]
        text = " → ".join(cycle)
        yield segments[id].fault(
            places[id].pop(following), f"segments may not lead in a circle: {text}"
        )


def _cycle(places: Mapping[str, Mapping[str, str]]) -> tuple[str, ...]:
    """Ids that lead from the smallest back to itself; empty when there is no cycle."""
    try:
        TopologicalSorter(places).prepare()
    except CycleError as error:
        round_trip = error.args[1][:0:-1]
        first = round_trip.index(min(round_trip))
        return (*round_trip[first:], *round_trip[:first], round_trip[first])
    return ()
