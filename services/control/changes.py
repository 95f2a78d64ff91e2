"""What an apply would change: the difference between the files and what is in force."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from schemas.records import Definition, Kind, State
from services.control.canonical import canonical
from services.control.documents import Document, did_you_mean

Key = tuple[Kind, str]


class NoSuchSegment(LookupError):
    """No segment has this name."""


@dataclass(frozen=True, slots=True)
class Change:
    """One definition to write, and what was there before."""

    sign: Literal["+", "~", "-"]
    definition: Definition
    before: Definition | None

    def __str__(self) -> str:
        new = self.definition
        name = f"{self.sign} {new.kind} {new.id}"
        if self.before is None:
            return f"{name} (new)"
        versions = f"version {self.before.version} → {new.version}"
        what = {"+": "back from the archive", "~": self._turned(), "-": "archived"}[self.sign]
        return f"{name} {versions}" + (f" ({what})" if what else "")

    def _turned(self) -> str:
        before, state = self.before, self.definition.state
        is_turned = before is not None and before.state != state
        return {"paused": "paused", "live": "resumed"}.get(state, "") if is_turned else ""


@dataclass(frozen=True, slots=True)
class Plan:
    """All changes, and what is in force but not in the files and is left alone."""

    changes: tuple[Change, ...]
    left: tuple[Definition, ...]

    def lines(self) -> list[str]:
        """One line each, as `diff` prints them."""
        left = "in the log but not in the files; --prune archives it"
        return [str(c) for c in self.changes] + [f"- {d.kind} {d.id} {left}" for d in self.left]


def plan_changes(
    documents: Sequence[Document], in_force: Mapping[Key, Definition], *, prune: bool
) -> Plan:
    """The changes in a fixed order: by kind and id, what is new or edited first."""
    wanted = {(d.kind, d.id): canonical(d.body) for d in documents}
    changes = [_change(key, wanted[key], in_force.get(key)) for key in sorted(wanted)]
    gone = [
        definition
        for key, definition in sorted(in_force.items())
        if key not in wanted and definition.state != "archived"
    ]
    archived = [_archive(definition) for definition in gone] if prune else []
    written = tuple(change for change in [*changes, *archived] if change is not None)
    return Plan(written, () if prune else tuple(gone))


def plan_state(segment_id: str, state: State, in_force: Mapping[Key, Definition]) -> Plan:
    """The next version of a segment, the same but paused or live again; no change if it is so.

    Raises:
        NoSuchSegment: it is not in force.
    """
    before = in_force.get(("segment", segment_id))
    if before is None or before.state == "archived":
        known = [d.id for d in in_force.values() if d.kind == "segment" and d.state != "archived"]
        raise NoSuchSegment(
            f"no segment `{segment_id}` is in force{did_you_mean(segment_id, known)}"
        )
    if before.state == state:
        return Plan((), ())
    after = msgspec.structs.replace(before, version=before.version + 1, state=state)
    return Plan((Change("~", after, before),), ())


def _change(key: Key, body: bytes, before: Definition | None) -> Change | None:
    """None when nothing changed. A paused definition stays paused when it is edited."""
    kind, id = key
    if before is None:
        return Change("+", Definition(kind=kind, id=id, version=1, state="live", body=body), None)
    archived = before.state == "archived"
    if before.body == body and not archived:
        return None
    after = Definition(
        kind=kind,
        id=id,
        version=before.version + 1,
        state="live" if archived else before.state,
        body=body,
    )
    return Change("+" if archived else "~", after, before)


def _archive(before: Definition) -> Change:
    after = Definition(
        kind=before.kind,
        id=before.id,
        version=before.version + 1,
        state="archived",
        body=before.body,
    )
    return Change("-", after, before)
