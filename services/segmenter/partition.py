"""One partition as the segmenter holds it in memory, and the cycle's working set of profiles."""

from collections import OrderedDict
from dataclasses import dataclass, field
from functools import cache

import msgspec
from prometheus_client import Counter

from schemas.records import (
    BuildCalled,
    Cause,
    MembershipChanged,
    ProfileUpdated,
    Record,
    SegmentDefined,
)
from schemas.topics import MEMBERSHIPS, PROFILES
from services.runtime.stage import Cycle, State
from services.segmenter import metrics, store
from services.segmenter.domain.catalogue import ENTRIES, Catalogue
from services.segmenter.domain.evaluate import Transition, upgrade
from services.segmenter.domain.profile import Profile
from services.segmenter.domain.register import Register
from services.segmenter.domain.segment import parse_segment
from services.segmenter.store import Kept, Reading, Stub

HOT = 500
"""Profiles of a partition that stay at hand. It is about those who act again within seconds: more
of them cost more in the processor's caches than reading them again."""


MOST_NAMES = 10_000
"""With so many different names no more are noted: somebody writes data into them."""


@dataclass(slots=True)
class Partition:
    """What is known of a partition between the cycles."""

    number: int
    register: Register
    definitions: int
    """How many definitions and build calls it has taken."""
    now: int
    """Stream time, Unix milliseconds."""
    reading: Reading | None
    """How far it is with the build that runs."""
    built_since: dict[int, int]
    """Build → the instant at which the log began when the build read it; without whole logs."""
    names: set[str]
    """Of the events that have come; up to `MOST_NAMES`."""
    fired_until: int = 0
    """All timers before this instant have fired."""
    walking: bool = False
    active_at: float = 0.0
    """Monotonic seconds of the last record or tick."""
    limit: int = ENTRIES
    """More entries of one leaf than that, and it overflows."""
    most_hot: int = HOT
    """So many profiles are not read again in the next cycles."""
    hot: OrderedDict[str, Kept] = field(default_factory=OrderedDict)
    """Those worked on last, the latest behind; each is as its bytes in the state."""
    _catalogue: Catalogue = field(default_factory=Catalogue)

    @property
    def is_reading(self) -> bool:
        """Whether some of its log is still to be read again."""
        return self.reading is not None and self.reading.round == 0

    @property
    def catalogue(self) -> Catalogue:
        """The indexes of the register, made when they are asked for: many definitions may come."""
        if self._catalogue.register is not self.register:
            self._catalogue = Catalogue.of(self.register, self.limit)
        return self._catalogue


def opened(
    number: int, state: State, active_at: float, *, limit: int = ENTRIES, most_hot: int = HOT
) -> Partition:
    """The partition as its restored state describes it."""
    register, count = Register(), 0
    for record in store.definitions(state):
        register = taken(register, record)
        count += 1
    return Partition(
        number,
        register,
        count,
        store.load_time(state),
        store.load_reading(state),
        store.built_since(state),
        store.names(state),
        walking=store.load_walk(state) is not None,
        active_at=active_at,
        limit=limit,
        most_hot=most_hot,
    )


def taken(register: Register, record: Record) -> Register:
    """The register from this definition or build call on.

    Raises:
        Invalid, DecodeError: the definition cannot be read.
    """
    match record:
        case SegmentDefined():
            document = msgspec.json.decode(record.definition)
            segment = parse_segment(document, version=record.version, state=record.state)
            return register.defined(segment)
        case BuildCalled(call="begin"):
            return register.begun()
        case BuildCalled(call="end"):
            return register.ended()
        case _:
            return register


@dataclass(slots=True)
class Work:
    """One cycle's work on one partition: profiles are decoded at most once and written once."""

    partition: Partition
    cycle: Cycle
    state: State
    partitions: int
    """How many the input has."""
    offset: int = 0
    """Of the record that is being handled."""
    touched: dict[str, Kept] = field(default_factory=dict)

    def find(self, profile_id: str) -> Kept | Stub:
        """The profile, brought to the catalogue's generation; a new one if there was none."""
        found = self.known(profile_id)
        if found is None:
            found = self.touched[profile_id] = Kept(Profile.new(profile_id), store.NEVER, 0)
        return found

    def known(self, profile_id: str) -> Kept | Stub | None:
        """The same, but None if there was none."""
        kept = self.touched.get(profile_id)
        if kept is not None:
            return kept
        found = self.partition.hot.get(profile_id) or store.load_profile(self.state, profile_id)
        if isinstance(found, Kept):
            self.touched[profile_id] = found
            self.report(upgrade(self.partition.catalogue, found.profile, self.partition.now))
        return found

    def hear_of(self, name: str) -> None:
        """An event of this name came."""
        names = self.partition.names
        if name not in names and len(names) < MOST_NAMES:
            names.add(name)
            store.save_name(self.state, name)

    def register(self, record: SegmentDefined | BuildCalled) -> None:
        """Take a definition or build call; the profiles are brought to it, touched ones first.

        Raises:
            Invalid, DecodeError: the definition cannot be read; nothing was taken.
        """
        partition = self.partition
        register = taken(partition.register, record)
        self.finish()
        store.save_definition(self.state, partition.definitions, record)
        partition.definitions += 1
        if register.in_force is not partition.register.in_force:
            store.save_walk(self.state, "")
            partition.walking = True
        partition.register = register

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
            _counter(each.cause).inc()
            if each.cause == "time":
                metrics.LATENESS_SECONDS.observe((each.decided_at - each.occurred_at) / 1000)

    def bury(self, kept: Kept, survivor: str | None) -> None:
        """Replace the profile by a stub that forwards to its survivor; None forgets it."""
        profile_id = kept.profile.id
        del self.touched[profile_id]
        self.partition.hot.pop(profile_id, None)
        store.disarm(self.state, kept)
        store.save_stub(self.state, profile_id, Stub(survivor, self.offset))
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
        hot = self.partition.hot
        for profile_id, kept in self.touched.items():
            if kept.profile.overflows:
                metrics.OVERFLOWS.inc(kept.profile.overflows)
            if kept.profile.changed:
                kept.version += 1
                self.cycle.emit(PROFILES, key=profile_id, record=_updated(kept, self.partition))
            store.save_profile(self.state, kept, self.partition.now)
            hot[profile_id] = kept
            hot.move_to_end(profile_id)
        while len(hot) > self.partition.most_hot:
            hot.popitem(last=False)
        self.touched.clear()
        store.save_time(self.state, self.partition.now)


@cache
def _counter(cause: Cause) -> Counter:
    """Finding it by its label takes longer than counting."""
    return metrics.TRANSITIONS.labels(cause)


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


def _updated(kept: Kept, partition: Partition) -> ProfileUpdated:
    profile = kept.profile
    return ProfileUpdated(
        profile_id=profile.id,
        version=kept.version,
        updated_at=partition.now,
        identifiers=profile.identifiers,
        traits=profile.traits_json(),
        consent=profile.consent_json(),
        memberships=profile.member_of(partition.catalogue.names),
    )
