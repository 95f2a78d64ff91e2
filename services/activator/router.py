"""The router: memberships and profiles become PostgreSQL views and changes for destinations.

It remembers, per partition, who is in which segment, so that a new subscription is told of the
members that are there already; they are enqueued in slices between live changes.
"""

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Protocol

import msgspec

from schemas.codec import decode_as
from schemas.records import Activation, MembershipChanged, ProfileEvent, ProfileUpdated
from schemas.topics import MEMBERSHIPS, PROFILE_EVENTS, PROFILES, activations, partition_of
from services.activator.domain.change import version_of
from services.activator.domain.consent import denies_ads
from services.activator.domain.conversion import EventMapping, at, conversion_of
from services.activator.erasing import Removal
from services.activator.metrics import ROUTED
from services.activator.subscriptions import Pair, Subscriptions, subscriptions_of
from services.runtime.definitions import Snapshot
from services.runtime.outcome import Reject
from services.runtime.stage import Cycle, Received, State

DONE = b"\x01"
SETTLE_EVERY_S = 0.5
AT = b"\x00"
"""Before the key of the last member that was enqueued."""


class ProfileViews(Protocol):
    """Where people and the console read profiles and memberships."""

    def write(
        self,
        profiles: Sequence[ProfileUpdated],
        memberships: Sequence[MembershipChanged],
        removals: Sequence[Removal],
    ) -> None: ...

    def settle(self, destinations: Collection[str]) -> bool:
        """Forget what is kept of erased people; False while a destination still needs some."""
        ...


class Router:
    """A stage of the exact loop."""

    name = "router"
    inputs = (MEMBERSHIPS, PROFILES, PROFILE_EVENTS)

    def __init__(
        self,
        views: ProfileViews,
        definitions: Callable[[], Snapshot],
        topic_of: Callable[[str], int],
        backfill_slice: int = 500,
    ) -> None:
        self._views = views
        self._definitions = definitions
        self._topic_of = topic_of
        """Makes sure of a destination's topic; says how many partitions it has."""
        self._slice = backfill_slice
        self._snapshot: Snapshot | None = None
        self._subscriptions = Subscriptions()
        self._pairs: frozenset[Pair] = frozenset()
        self._partitions: dict[str, int] = {}
        """Of the topic of each destination."""
        self._settled = False
        """Nothing is left to tell; until the definitions or our partitions change."""
        self._progress: dict[int, dict[Pair, bytes]] = {}
        """Of each partition that is ours: how far each subscription has been told."""
        self._erasing = True
        """Somebody who was erased may still be known for a destination's sake."""
        self._settled_at = 0.0

    def assigned(self, partition: int, state: State, positions: Mapping[str, int]) -> None:
        self._settled = False
        self._progress[partition] = {_pair_of(key): value for key, value in state.scan(b"s/")}

    def revoked(self, partition: int) -> None:
        self._progress.pop(partition, None)

    def committed(self) -> None:
        """Nothing is kept that a failed transaction would have to take back."""

    def passes_over(self, topic: str) -> bool:
        """Events matter only to destinations that are sent conversions."""
        return topic == PROFILE_EVENTS.name and not self._subscriptions.events

    def decide(self, batch: Sequence[Received], cycle: Cycle) -> None:
        self._follow_definitions()
        profiles: list[ProfileUpdated] = []
        memberships: list[MembershipChanged] = []
        removals: list[Removal] = []
        for received in batch:
            match received.record:
                case MembershipChanged() as membership:
                    memberships.append(membership)
                    told = self._membership(membership, received, cycle)
                    removals += _removals(membership, told)
                case ProfileUpdated() as profile:
                    profiles.append(profile)
                    self._profile(profile, cycle)
                    self._follow_consent(profile, received.partition, cycle)
                case ProfileEvent() as event:
                    self._conversions(event, cycle)
                case _ if received.topic == PROFILE_EVENTS.name:
                    pass  # of the segmenter's own
                case _:
                    cycle.reject(received, Reject("unexpected_record", "no record for a router"))
        self._erasing = self._erasing or bool(removals) or any(p.erased for p in profiles)
        self._views.write(profiles, memberships, removals)

    def idle(self, cycle: Cycle) -> None:
        """Tell new subscriptions of the members that are there, one slice a cycle."""
        self._follow_definitions()
        self._settle_erasures()
        if self._settled:
            return
        budget = self._slice
        for partition, progress in self._progress.items():
            self._forget_ended(cycle.state(partition), progress)
            for pair in self._pairs:
                if budget <= 0:
                    return
                if progress.get(pair) != DONE:
                    budget -= self._backfill(partition, pair, budget, cycle)
        self._settled = all(
            told == DONE for progress in self._progress.values() for told in progress.values()
        )

    def _follow_definitions(self) -> None:
        """Take over a changed workspace; the topics of new destinations are there before use."""
        snapshot = self._definitions()
        if snapshot is self._snapshot:
            return
        subscriptions = subscriptions_of(snapshot.values())
        for destination in subscriptions.destinations - self._partitions.keys():
            self._partitions[destination] = self._topic_of(destination)
        self._snapshot, self._subscriptions = snapshot, subscriptions
        self._pairs, self._settled = subscriptions.pairs(), False

    def _membership(
        self, membership: MembershipChanged, received: Received, cycle: Cycle
    ) -> Sequence[Activation]:
        """What the destinations are told of it."""
        state = cycle.state(received.partition)
        key = _member_key(membership.segment_id, membership.profile_id)
        if membership.member:
            state.put(key, received.value)
        else:
            state.delete(key)
        changes = [self._change(each, membership, state) for each in self._told(membership)]
        for change in changes:
            self._emit(cycle, change)
        return changes

    def _change(
        self,
        destination: str,
        membership: MembershipChanged,
        state: State,
        *,
        received_at: int | None = None,
        member: bool | None = None,
    ) -> Activation:
        """The change for one destination; ads platforms count turns of consent as changes."""
        flips = _flips(state, membership.profile_id) if self._is_ads(destination) else None
        return _activation(
            destination,
            membership,
            received_at=membership.received_at if received_at is None else received_at or None,
            member=membership.member if member is None else member,
            version=version_of(membership.sequence, flips),
        )

    def _is_ads(self, destination: str) -> bool:
        return destination in self._subscriptions.ads

    def _follow_consent(self, profile: ProfileUpdated, partition: int, cycle: Cycle) -> None:
        """Who denies ads the use of their data leaves the audiences there, until they grant it."""
        state = cycle.state(partition)
        if profile.erased:
            state.delete(_consent_key(profile.profile_id))
            return
        flips = _flips(state, profile.profile_id)
        denied = denies_ads(msgspec.json.decode(profile.consent))
        if denied == bool(flips % 2) or profile.merged_into is not None:
            return
        state.put(_consent_key(profile.profile_id), str(flips + 1).encode())
        for destination, segment in sorted(self._pairs):
            held = state.get(_member_key(segment, profile.profile_id))
            if self._is_ads(destination) and held is not None:
                membership = _as_now(decode_as(MembershipChanged, held), profile)
                change = self._change(
                    destination, membership, state, received_at=0, member=not denied
                )
                self._emit(cycle, change)

    def _conversions(self, event: ProfileEvent, cycle: Cycle) -> None:
        """What a destination counts as a conversion; once, and never from the past."""
        if event.type != "track" or event.historical or event.at is not None:
            return
        mappings = self._subscriptions.events.get(event.name or "", ())
        payload = _payload(event) if mappings else {}
        for destination, mapped in mappings:
            if mapped.means(payload, at=event.received_at, event_id=event.message_id):
                self._emit(cycle, _conversion(destination, event, payload, mapped))

    def _told(self, membership: MembershipChanged) -> Sequence[str]:
        """The destinations of a change; an erasure that is ours alone names nobody."""
        if membership.cause == "erasure" and not _names_somebody(membership):
            return ()
        return self._subscriptions.by_segment.get(membership.segment_id, ())

    def _settle_erasures(self) -> None:
        now = time.monotonic()
        if self._erasing and now - self._settled_at >= SETTLE_EVERY_S:
            self._settled_at = now
            self._erasing = not self._views.settle(self._subscriptions.destinations)

    def _profile(self, profile: ProfileUpdated, cycle: Cycle) -> None:
        gone = profile.merged_into is not None or profile.erased
        if gone or not self._subscriptions.profiles:
            return
        traits = msgspec.json.decode(profile.traits)
        for destination, names in self._subscriptions.profiles.items():
            self._emit(cycle, _profile_activation(destination, profile, traits, names))

    def _emit(self, cycle: Cycle, activation: Activation) -> None:
        destination, key = activation.destination_id, activation.profile_id
        partition = partition_of(key.encode(), self._partitions[destination])
        cycle.emit(activations(destination), key=key, record=activation, partition=partition)
        ROUTED.labels(destination).inc()

    def _forget_ended(self, state: State, progress: dict[Pair, bytes]) -> None:
        for pair in progress.keys() - self._pairs:
            state.delete(_progress_key(pair))
            del progress[pair]

    def _backfill(self, partition: int, pair: Pair, budget: int, cycle: Cycle) -> int:
        """One slice of a subscription in a partition; returns how much of the budget it took."""
        destination, segment = pair
        state, progress = cycle.state(partition), self._progress[partition]
        told = progress.get(pair, AT)[1:]
        members = list(islice(_members_after(state, segment, told), budget))
        for _, value in members:
            membership = decode_as(MembershipChanged, value)
            self._emit(cycle, self._change(destination, membership, state, received_at=0))
        progress[pair] = AT + members[-1][0] if len(members) == budget else DONE
        state.put(_progress_key(pair), progress[pair])
        return len(members) + 1


def _members_after(state: State, segment: str, told: bytes) -> Iterator[tuple[bytes, bytes]]:
    for key, value in state.scan(_member_key(segment, ""), start=told):
        if key != told:
            yield key, value


def _flips(state: State, profile_id: str) -> int:
    """How often the person has denied ads and granted them again; odd while denied."""
    return int(state.get(_consent_key(profile_id)) or b"0")


def _as_now(membership: MembershipChanged, profile: ProfileUpdated) -> MembershipChanged:
    """The membership with the person as they are now."""
    person = {
        "identifiers": profile.identifiers,
        "traits": msgspec.Raw(profile.traits),
        "consent": msgspec.Raw(profile.consent),
    }
    return msgspec.structs.replace(
        membership, profile=msgspec.json.encode(person), occurred_at=profile.updated_at
    )


def _payload(event: ProfileEvent) -> dict[str, Any]:
    payload = msgspec.json.decode(event.payload)
    return payload if isinstance(payload, dict) else {}


def _conversion(
    destination_id: str, event: ProfileEvent, payload: Mapping[str, Any], mapped: EventMapping
) -> Activation:
    consent = at(payload, "context.consent")
    conversion = conversion_of(payload, mapped, event_id=event.message_id)
    person = {
        "identifiers": event.identifiers,
        "consent": consent if isinstance(consent, dict) else {},
        "conversion": conversion,
    }
    return Activation(
        destination_id=destination_id,
        kind="conversion",
        profile_id=event.profile_id,
        version=1,
        occurred_at=event.timestamp,
        received_at=event.received_at,
        cause="event",
        profile=msgspec.json.encode(person),
    )


def _activation(
    destination_id: str,
    membership: MembershipChanged,
    *,
    received_at: int | None,
    member: bool,
    version: int,
) -> Activation:
    return Activation(
        destination_id=destination_id,
        kind="membership",
        profile_id=membership.profile_id,
        audience_id=membership.segment_id,
        member=member,
        version=version,
        occurred_at=membership.occurred_at,
        received_at=received_at,
        cause=membership.cause,
        profile=membership.profile,
        merged_into=membership.merged_into,
    )


def _profile_activation(
    destination_id: str,
    profile: ProfileUpdated,
    traits: Mapping[str, object],
    names: Mapping[str, str],
) -> Activation:
    person = {
        "identifiers": profile.identifiers,
        "traits": {name: traits.get(trait) for trait, name in names.items()},
        "consent": msgspec.Raw(profile.consent),
    }
    return Activation(
        destination_id=destination_id,
        kind="profile",
        profile_id=profile.profile_id,
        version=profile.version,
        occurred_at=profile.updated_at,
        cause="event",
        profile=msgspec.json.encode(person),
    )


def _removals(membership: MembershipChanged, told: Sequence[Activation]) -> Iterator[Removal]:
    """Those whose end an erasure waits for."""
    if membership.cause == "erasure":
        for change in told:
            yield Removal(
                regulation_id=membership.cause_id,
                destination_id=change.destination_id,
                audience_id=membership.segment_id,
                profile_id=change.profile_id,
                version=change.version,
            )


def _names_somebody(membership: MembershipChanged) -> bool:
    return bool(msgspec.json.decode(membership.profile)["identifiers"])


def _member_key(segment_id: str, profile_id: str) -> bytes:
    return f"m/{segment_id}/{profile_id}".encode()


def _consent_key(profile_id: str) -> bytes:
    return f"c/{profile_id}".encode()


def _progress_key(pair: Pair) -> bytes:
    return f"s/{pair[0]}/{pair[1]}".encode()


def _pair_of(key: bytes) -> Pair:
    _, destination, segment = key.decode().split("/")
    return destination, segment
