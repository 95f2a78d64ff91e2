"""The router: memberships and profiles become PostgreSQL views and changes for destinations.

It remembers, per partition, who is in which segment, so that a new subscription is told of the
members that are there already; they are enqueued in slices between live changes.
"""

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Protocol

import msgspec

from schemas.codec import decode_as
from schemas.records import Activation, MembershipChanged, ProfileEvent, ProfileUpdated
from schemas.topics import MEMBERSHIPS, PROFILE_EVENTS, PROFILES, Topic, activations, partition_of
from services.activator.backfill import Backfill, member_key
from services.activator.domain.activations import (
    as_now,
    names_somebody,
    of_event,
    of_membership,
    of_profile,
    payload_of,
)
from services.activator.domain.change import version_of
from services.activator.domain.consent import denies_ads
from services.activator.erasing import Removal
from services.activator.metrics import ROUTED
from services.activator.subscriptions import Pair, Subscriptions, subscriptions_of
from services.runtime.definitions import Snapshot
from services.runtime.outcome import Reject
from services.runtime.stage import Cycle, Received, State

SETTLE_EVERY_S = 0.5


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
        backfill_slice: int = 2_000,
    ) -> None:
        self._views = views
        self._definitions = definitions
        self._topic_of = topic_of
        """Makes sure of a destination's topic; says how many partitions it has."""
        self._backfill = Backfill(backfill_slice, self._tell_member)
        self._snapshot: Snapshot | None = None
        self._subscriptions = Subscriptions()
        self._pairs: frozenset[Pair] = frozenset()
        self._topics: dict[str, tuple[Topic, int]] = {}
        """Of each destination, and how many partitions it has."""
        self._erasing = True
        """Somebody who was erased may still be known for a destination's sake."""
        self._settled_at = 0.0

    def assigned(self, partition: int, state: State, positions: Mapping[str, int]) -> None:
        self._backfill.assigned(partition, state)

    def revoked(self, partition: int) -> None:
        self._backfill.revoked(partition)

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
        self._backfill.go_on(self._pairs, cycle)

    def _follow_definitions(self) -> None:
        """Take over a changed workspace; the topics of new destinations are there before use."""
        snapshot = self._definitions()
        if snapshot is self._snapshot:
            return
        subscriptions = subscriptions_of(snapshot.values())
        for destination in subscriptions.destinations - self._topics.keys():
            self._topics[destination] = (activations(destination), self._topic_of(destination))
        self._snapshot, self._subscriptions = snapshot, subscriptions
        self._pairs = subscriptions.pairs()
        self._backfill.changed()

    def _membership(
        self, membership: MembershipChanged, received: Received, cycle: Cycle
    ) -> Sequence[Activation]:
        """What the destinations are told of it."""
        state = cycle.state(received.partition)
        key = member_key(membership.segment_id, membership.profile_id)
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
        return of_membership(
            destination,
            membership,
            received_at=membership.received_at if received_at is None else received_at or None,
            member=membership.member if member is None else member,
            version=version_of(membership.sequence, flips),
        )

    def _tell_member(
        self, destination: str, membership: MembershipChanged, state: State, cycle: Cycle
    ) -> None:
        self._emit(cycle, self._change(destination, membership, state, received_at=0))

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
            held = state.get(member_key(segment, profile.profile_id))
            if self._is_ads(destination) and held is not None:
                membership = as_now(decode_as(MembershipChanged, held), profile)
                change = self._change(
                    destination, membership, state, received_at=0, member=not denied
                )
                self._emit(cycle, change)

    def _conversions(self, event: ProfileEvent, cycle: Cycle) -> None:
        """What a destination counts as a conversion; once, and never from the past."""
        if event.type != "track" or event.historical or event.at is not None:
            return
        mappings = self._subscriptions.events.get(event.name or "", ())
        payload = payload_of(event) if mappings else {}
        for destination, mapped in mappings:
            if mapped.means(payload, at=event.received_at, event_id=event.message_id):
                self._emit(cycle, of_event(destination, event, payload, mapped))

    def _told(self, membership: MembershipChanged) -> Sequence[str]:
        """The destinations of a change; an erasure that is ours alone names nobody."""
        if membership.cause == "erasure" and not names_somebody(membership):
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
            self._emit(cycle, of_profile(destination, profile, traits, names))

    def _emit(self, cycle: Cycle, activation: Activation) -> None:
        destination, key = activation.destination_id, activation.profile_id
        topic, partitions = self._topics[destination]
        partition = partition_of(key.encode(), partitions)
        cycle.emit(topic, key=key, record=activation, partition=partition)
        ROUTED.labels(destination).inc()


def _flips(state: State, profile_id: str) -> int:
    """How often the person has denied ads and granted them again; odd while denied."""
    return int(state.get(_consent_key(profile_id)) or b"0")


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


def _consent_key(profile_id: str) -> bytes:
    return f"c/{profile_id}".encode()
