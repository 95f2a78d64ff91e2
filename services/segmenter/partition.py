"""One partition as the segmenter holds it in memory, and the cycle's working set of profiles."""

from dataclasses import dataclass, field

import msgspec

from schemas.records import (
    MembershipChanged,
    ProfileUpdated,
    SegmentDefined,
)
from schemas.topics import MEMBERSHIPS, PROFILES
from services.runtime.stage import Cycle, State
from services.segmenter import metrics, store
from services.segmenter.domain.catalogue import Catalogue
from services.segmenter.domain.evaluate import Transition, upgrade
from services.segmenter.domain.profile import Profile
from services.segmenter.domain.segment import parse_segment
from services.segmenter.store import Kept, Stub


@dataclass(slots=True)
class Partition:
    """What is known of a partition between the cycles."""

    number: int
    catalogue: Catalogue
    definitions: int
    """How many definitions it has taken."""
    now: int
    """Stream time, Unix milliseconds."""
    fired_until: int = 0
    """All timers before this instant have fired."""
    walking: bool = False
    active_at: float = 0.0
    """Monotonic seconds of the last record or tick."""


def opened(number: int, state: State, active_at: float) -> Partition:
    """The partition as its restored state describes it."""
    catalogue, count = Catalogue.empty(), 0
    for definition in store.definitions(state):
        catalogue = taken(catalogue, definition)
        count += 1
    return Partition(
        number,
        catalogue,
        count,
        store.load_time(state),
        walking=store.load_walk(state) is not None,
        active_at=active_at,
    )


def taken(catalogue: Catalogue, definition: SegmentDefined) -> Catalogue:
    """The catalogue from this definition on."""
    document = msgspec.json.decode(definition.definition)
    segment = parse_segment(document, version=definition.version, state=definition.state)
    return catalogue.defined(segment)


@dataclass(slots=True)
class Work:
    """One cycle's work on one partition: profiles are decoded once and written once."""

    partition: Partition
    cycle: Cycle
    state: State
    touched: dict[str, Kept] = field(default_factory=dict)

    def find(self, profile_id: str) -> Kept | Stub:
        """The profile, brought to the catalogue's generation; a new one if there was none."""
        kept = self.touched.get(profile_id)
        if kept is not None:
            return kept
        found = store.load_profile(self.state, profile_id)
        if isinstance(found, Stub):
            return found
        if found is None:
            found = Kept(Profile.new(profile_id), store.NEVER, 0)
        self.touched[profile_id] = found
        self.report(upgrade(self.partition.catalogue, found.profile, self.partition.now))
        return found

    def report(
        self,
        transitions: list[Transition],
        received_at: int | None = None,
        merged_into: str | None = None,
    ) -> None:
        """Emit the transitions; with the arrival of the event or the survivor that caused them."""
        for each in transitions:
            changed = _changed(each, received_at)
            if each.cause == "merge":
                changed = msgspec.structs.replace(changed, merged_into=merged_into)
            self.cycle.emit(MEMBERSHIPS, key=each.profile_id, record=changed)
            metrics.TRANSITIONS.labels(each.cause).inc()
            if each.cause == "time":
                metrics.LATENESS_SECONDS.observe((each.decided_at - each.occurred_at) / 1000)

    def bury(self, kept: Kept, survivor: str | None) -> None:
        """Replace the profile by a stub that forwards to its survivor; None forgets it."""
        profile_id = kept.profile.id
        del self.touched[profile_id]
        store.disarm(self.state, kept)
        store.save_stub(self.state, profile_id, survivor)
        gone = ProfileUpdated(
            profile_id=profile_id,
            version=kept.version + 1,
            updated_at=self.partition.now,
            merged_into=survivor,
            erased=survivor is None,
        )
        self.cycle.emit(PROFILES, key=profile_id, record=gone)

    def finish(self) -> None:
        """Write what was touched, and say what changed about whom."""
        for profile_id, kept in self.touched.items():
            metrics.OVERFLOWS.inc(kept.profile.overflows)
            if kept.profile.changed:
                kept.version += 1
                self.cycle.emit(PROFILES, key=profile_id, record=_updated(kept, self.partition.now))
            store.save_profile(self.state, kept)
        self.touched.clear()
        store.save_time(self.state, self.partition.now)


def _changed(transition: Transition, received_at: int | None) -> MembershipChanged:
    return MembershipChanged(
        segment_id=transition.segment_id,
        segment_version=transition.segment_version,
        profile_id=transition.profile_id,
        member=transition.member,
        sequence=transition.sequence,
        occurred_at=transition.occurred_at,
        decided_at=transition.decided_at,
        cause=transition.cause,
        cause_id=transition.cause_id,
        received_at=received_at if transition.cause == "event" else None,
        profile=transition.profile,
    )


def _updated(kept: Kept, now: int) -> ProfileUpdated:
    profile = kept.profile
    return ProfileUpdated(
        profile_id=profile.id,
        version=kept.version,
        updated_at=now,
        identifiers=profile.identifiers,
        traits=profile.traits_json(),
        consent=profile.consent_json(),
        memberships=profile.member_of(),
    )
