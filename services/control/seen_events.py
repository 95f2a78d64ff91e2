"""Events that segments name and that never came to a running platform: warnings, not faults."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from services.control.documents import Document, Fault, did_you_mean
from services.control.status import Answer, Silent

_NAMING = ("event", "first", "last")
_WITHIN_LISTS = ("all", "any", "sequence")
_WITHIN = ("not", "absent")


def named_events(body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Place and name of each event in a segment's condition."""
    return _named(body.get("where"), "where")


def seen_events(answers: Sequence[Answer]) -> frozenset[str] | None:
    """The names that ever came; None unless everything answers and every segmenter knows."""
    known = [a.events for a in answers if not isinstance(a, Silent) and a.service == "segmenter"]
    if not known or any(isinstance(answer, Silent) for answer in answers):
        return None
    found = [names for names in known if names is not None]
    return frozenset().union(*found) if len(found) == len(known) else None


def unseen_events(documents: Sequence[Document], seen: frozenset[str]) -> Iterator[Fault]:
    """One warning for each place that names an event which never came."""
    for document in documents:
        for place, name in named_events(document.body) if document.kind == "segment" else ():
            if name not in seen:
                near = did_you_mean(name, tuple(sorted(seen)))
                yield document.fault(place, f"warning: no event `{name}` ever came{near}")


def _named(condition: Any, place: str) -> Iterator[tuple[str, str]]:
    if not isinstance(condition, dict):
        return
    for key in _NAMING:
        if isinstance(name := condition.get(key), str):
            yield f"{place}.{key}", name
    for key in _WITHIN:
        yield from _named(condition.get(key), f"{place}.{key}")
    for key in _WITHIN_LISTS:
        members = condition.get(key)
        for index, member in enumerate(members if isinstance(members, list) else ()):
            yield from _named(member, f"{place}.{key}[{index}]")
