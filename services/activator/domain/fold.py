"""Which changes of a batch are still to be sent, given what the ledger knows: no IO, no clock."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from services.activator.domain.change import Change, Key, Person
from services.activator.domain.outcomes import SENT, WAITING, Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What the ledger knows about one (audience, profile)."""

    version: int
    """The newest version that was taken on."""
    outcome: Outcome | None = None
    """What became of that version; None while an attempt is under way or was cut short."""
    touched: bool = False
    """An add was sent, or may have been: the platform may hold this profile."""
    sent: Person | None = None
    """As whom it was sent."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A change that is not sent, and why, from a closed set."""

    change: Change
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What one batch comes to, in the order in which it came."""

    send: tuple[Change, ...]
    skipped: tuple[Skipped, ...]
    settled: tuple[Skipped, ...] = ()
    """Of these the newest was skipped: the ledger moves on to them without a call."""


def fold(changes: Iterable[Change]) -> tuple[tuple[Change, ...], tuple[Skipped, ...]]:
    """The newest change of each (audience, profile), and what it replaces."""
    newest: dict[Key, Change] = {}
    replaced: list[Skipped] = []
    for change in changes:
        known = newest.pop(change.key, None)
        if known is None:
            newest[change.key] = change
            continue
        older, newer = sorted((known, change), key=lambda c: c.version)
        newest[change.key] = newer
        if older.version < newer.version:
            replaced.append(Skipped(older, "superseded"))
    return tuple(newest.values()), tuple(replaced)


def plan(changes: Iterable[Change], ledger: Mapping[Key, Entry]) -> Plan:
    """What to send of the changes of a batch; the order of an (audience, profile) never inverts."""
    newest, skipped = fold(changes)
    send: list[Change] = []
    others: list[Skipped] = []
    settled: list[Skipped] = []
    for change in newest:
        entry = ledger.get(change.key)
        reason = _known(change, entry)
        if reason is not None:
            others.append(Skipped(change, reason))
        elif change.operation == "remove_member" and not (entry and entry.touched):
            settled.append(Skipped(change, "never_sent"))
        else:
            send.append(change)
    return Plan(tuple(send), (*skipped, *others), tuple(settled))


def _known(change: Change, entry: Entry | None) -> str | None:
    """Why the ledger makes this change needless; None when it is news."""
    if entry is None or change.version > entry.version:
        return None
    if change.version < entry.version:
        return "stale"
    if entry.outcome is None:
        return None
    if entry.outcome in SENT:
        return "already_delivered"
    return "already_waiting" if entry.outcome in WAITING else "already_settled"
