"""A batch of events resolved in log order, and all that this changes in the graph."""

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b

from schemas.records import Identifier, ProfileMerged
from services.identity.domain.extract import USER_ID, Carried
from services.identity.domain.graph import Graph
from services.identity.domain.ids import merge_id
from services.identity.domain.merge import Limits, Plan, Refusal, apply, plan_links

SEEN_STEP_MS = 3_600_000
"""When an identifier was last seen is kept to the hour, so that most events write nothing."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """One event, as far as identity is concerned."""

    carried: Carried
    source_id: str
    message_id: str
    received_at: int


@dataclass(frozen=True, slots=True)
class Resolved:
    """Whose event it is."""

    profile_id: str
    identifiers: tuple[Identifier, ...]
    """Those of the event that belong to the profile."""
    merged: tuple[ProfileMerged, ...] = ()
    """What it joined."""


@dataclass(slots=True)
class Snapshot:
    """What the store knows about the identifiers of a batch; planning keeps it up to date."""

    graph: Graph
    seen: MutableMapping[Identifier, int]
    """Identifier → when it was last seen."""
    refused: MutableMapping[bytes, frozenset[Identifier]]
    """Decision → what it left out."""
    erased: Mapping[Identifier, int] = field(default_factory=dict)
    """Identifier of somebody who was erased → what was received by then is theirs."""

    def living(self, event: Incoming) -> Incoming | None:
        """The event without what is of somebody who was erased; None if it is about them.

        It is, unless it names a user of its own: then only a shared device is theirs.
        """
        carried = event.carried
        touched = (*carried.identifiers, *carried.previous)
        gone = {i for i in touched if event.received_at <= self.erased.get(i, -1)}
        if not gone:
            return event
        if not any(i.type == USER_ID and i not in gone for i in carried.identifiers):
            return None
        identifiers = tuple(i for i in carried.identifiers if i not in gone)
        previous = tuple(i for i in carried.previous if i not in gone)
        return replace(event, carried=replace(carried, identifiers=identifiers, previous=previous))


@dataclass(frozen=True, slots=True)
class Link:
    """An identifier that became a profile's, and through which event."""

    identifier: Identifier
    profile_id: str
    event: Incoming


@dataclass(frozen=True, slots=True)
class Refused:
    """A refusal with all that explains it."""

    decision: bytes
    refusal: Refusal
    profile_id: str
    event: Incoming


@dataclass(frozen=True, slots=True)
class Erased:
    """What a request to forget people came to."""

    profile_ids: tuple[str, ...]
    is_new: bool
    """False for every copy of the request but the first."""


@dataclass(slots=True)
class Changes:
    """What a batch adds to the graph, in log order."""

    created: dict[str, Incoming] = field(default_factory=dict)
    """Profile id → the event that created it."""
    links: list[Link] = field(default_factory=list)
    merged: list[ProfileMerged] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    seen: dict[Identifier, int] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        return not (self.created or self.links or self.merged or self.refused or self.seen)


def resolve_batch(
    events: Sequence[Incoming], snapshot: Snapshot, limits: Limits
) -> tuple[list[Resolved], Changes]:
    """Plan each event against what the ones before it have left."""
    changes = Changes()
    resolved = [_resolve(event, snapshot, limits, changes) for event in events]
    return resolved, changes


def decision_key(carried: Carried, limits: Limits) -> bytes:
    """Names what is decided when these identifiers meet under these limits.

    A decision that left something out is recorded under it and not taken again, on replay or
    when the same identifiers come again; other limits are another decision.
    """
    named = repr((carried.identifiers, carried.previous, limits))
    return blake2b(named.encode(), digest_size=16).digest()


def _resolve(event: Incoming, snapshot: Snapshot, limits: Limits, changes: Changes) -> Resolved:
    graph, carried = snapshot.graph, event.carried
    decision = decision_key(carried, limits)
    before = snapshot.refused.get(decision, frozenset())
    plan = plan_links(carried, graph, limits, refused=before)
    apply(plan, graph, event.received_at)
    if plan.created:
        changes.created[plan.profile_id] = event
    changes.links += [Link(i, plan.profile_id, event) for i in plan.links]
    if plan.refusals:
        changes.refused += [Refused(decision, r, plan.profile_id, event) for r in plan.refusals]
        snapshot.refused[decision] = before | {r.identifier for r in plan.refusals}
    _see(plan, event, snapshot, changes)
    merged = tuple(_merged(loser, plan.profile_id, event) for loser in plan.merges)
    changes.merged += merged
    return Resolved(plan.profile_id, plan.visible, merged)


def _see(plan: Plan, event: Incoming, snapshot: Snapshot, changes: Changes) -> None:
    for identifier in plan.links:
        snapshot.seen[identifier] = event.received_at
    for identifier in plan.accepted:
        if event.received_at - snapshot.seen[identifier] >= SEEN_STEP_MS:
            snapshot.seen[identifier] = changes.seen[identifier] = event.received_at


def _merged(loser: str, winner: str, event: Incoming) -> ProfileMerged:
    return ProfileMerged(
        loser=loser,
        winner=winner,
        merge_id=merge_id(loser, winner),
        cause=event.message_id,
        at=event.received_at,
    )


def survivors(merged: Sequence[ProfileMerged]) -> Mapping[str, str]:
    """Loser → the profile that holds everything of it after all of these merges."""
    winners: dict[str, str] = {}
    for merge in reversed(merged):
        winners[merge.loser] = winners.get(merge.winner, merge.winner)
    return winners
