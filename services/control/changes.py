"""What an apply would change: the difference between the files and what is in force."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from schemas.records import Definition, Kind
from services.control.canonical import canonical
from services.control.documents import Document

Key = tuple[Kind, str]


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
        what = {"+": " (back from the archive)", "~": "", "-": " (archived)"}[self.sign]
        return f"{name} {versions}{what}"


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
