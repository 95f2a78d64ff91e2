"""The router's decisions: fan-out, and present members for new subscriptions, in slices."""

from collections.abc import Collection, Iterator, Sequence

import msgspec

from schemas.codec import encode
from schemas.records import Activation, Definition, MembershipChanged, ProfileUpdated, Record
from schemas.topics import MEMBERSHIPS, PROFILES, Topic, activations, partition_of
from services.activator.erasing import Removal
from services.activator.router import Router
from services.runtime.outcome import Reject
from services.runtime.stage import Received
from tests.unit.activator.builders import AT, definition

PARTITIONS = 4


class Memory:
    """State in a dict."""

    def __init__(self) -> None:
        self.entries: dict[bytes, bytes] = {}

    def get(self, key: bytes) -> bytes | None:
        return self.entries.get(key)

    def put(self, key: bytes, value: bytes) -> None:
        self.entries[key] = value

    def delete(self, key: bytes) -> None:
        self.entries.pop(key, None)

    def scan(self, prefix: bytes, *, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        found = sorted(self.entries.items())
        return iter([(k, v) for k, v in found if k.startswith(prefix) and k >= start])


class Collected:
    """A cycle that remembers what it was told, over one partition."""

    def __init__(self) -> None:
        self.memory = Memory()
        self.activations: list[Activation] = []
        self.rejected: list[str] = []

    def state(self, partition: int) -> Memory:
        return self.memory

    def emit(self, topic: Topic, *, key: str, record: Record, partition: int | None = None) -> None:
        assert isinstance(record, Activation)
        assert topic == activations(record.destination_id)
        assert (key, partition) == (record.profile_id, partition_of(key.encode(), PARTITIONS))
        self.activations.append(record)

    def reject(self, received: Received, rejected: Reject) -> None:
        self.rejected.append(rejected.reason)


class Seen:
    """Views that remember what they were given."""

    def __init__(self) -> None:
        self.profiles: list[ProfileUpdated] = []
        self.memberships: list[MembershipChanged] = []
        self.removals: list[Removal] = []
        self.told: list[Collection[str]] = []

    def write(
        self,
        profiles: Sequence[ProfileUpdated],
        memberships: Sequence[MembershipChanged],
        removals: Sequence[Removal],
    ) -> None:
        self.profiles.extend(profiles)
        self.memberships.extend(memberships)
        self.removals.extend(removals)

    def settle(self, destinations: Collection[str]) -> bool:
        self.told.append(destinations)
        return True


class House:
    """A router with one partition and a workspace that a test changes."""

    def __init__(self, *definitions: Definition, backfill_slice: int = 500) -> None:
        self.topics: list[str] = []
        self.views, self.cycle = Seen(), Collected()
        self.define(*definitions)
        self.router = Router(self.views, lambda: self._snapshot, self._topic_of, backfill_slice)
        self.router.assigned(0, self.cycle.memory, {})

    def define(self, *definitions: Definition) -> None:
        self._snapshot = {(d.kind, d.id): d for d in definitions}

    def decide(self, *records: Record) -> None:
        self.router.decide([received(record) for record in records], self.cycle)

    def idle(self) -> list[Activation]:
        """What one idle cycle emits."""
        before = len(self.cycle.activations)
        self.router.idle(self.cycle)
        return self.cycle.activations[before:]

    def _topic_of(self, destination_id: str) -> int:
        self.topics.append(destination_id)
        return PARTITIONS


def received(record: Record) -> Received:
    topic = PROFILES if isinstance(record, ProfileUpdated) else MEMBERSHIPS
    return Received(topic.name, 0, 0, AT, b"k", encode(record), record)


def membership(
    profile_id: str = "p1", *, member: bool = True, sequence: int = 1, segment: str = "vip"
) -> MembershipChanged:
    return MembershipChanged(
        segment_id=segment,
        segment_version=1,
        profile_id=profile_id,
        member=member,
        sequence=sequence,
        occurred_at=AT,
        decided_at=AT,
        cause="event",
        cause_id="m1",
        received_at=AT,
        profile=b'{"identifiers":[],"traits":{},"consent":{}}',
    )


def profile(version: int = 1, merged_into: str | None = None) -> ProfileUpdated:
    return ProfileUpdated(
        profile_id="p1",
        version=version,
        updated_at=AT,
        traits=b'{"plan":"pro","secret":"s"}',
        merged_into=merged_into,
    )


def test_a_membership_goes_to_its_subscribers_under_its_sequence() -> None:
    house = House(definition(), definition(id="crm"), definition(id="x", audiences=[]))
    house.decide(membership(sequence=7), membership(segment="other"))
    assert [(a.destination_id, a.audience_id, a.version) for a in house.cycle.activations] == [
        ("ads", "vip", 7),
        ("crm", "vip", 7),
    ]
    assert house.cycle.activations[0].received_at == AT
    assert sorted(house.topics) == ["ads", "crm", "x"]
    assert len(house.views.memberships) == 2


def test_archived_and_disabled_destinations_get_nothing() -> None:
    house = House(definition(state="archived"), definition(id="off", enabled=False))
    house.decide(membership())
    assert house.cycle.activations == []


def test_a_new_subscription_is_told_of_the_present_members() -> None:
    house = House()
    house.decide(membership("p1"), membership("p2"), membership("p2", member=False, sequence=2))
    house.define(definition())
    assert [(a.profile_id, a.version, a.received_at) for a in house.idle()] == [("p1", 1, None)]
    assert house.idle() == []


def test_present_members_come_in_slices_and_survive_a_restart() -> None:
    house = House(backfill_slice=3)
    house.decide(*(membership(f"p{i}") for i in range(8)))
    house.define(definition())
    first = [a.profile_id for a in house.idle()]
    assert first == ["p0", "p1", "p2"]
    restarted = House(definition(), backfill_slice=3)
    restarted.cycle.memory.entries = house.cycle.memory.entries
    restarted.router.assigned(0, restarted.cycle.memory, {})
    rest = [a.profile_id for _ in range(4) for a in restarted.idle()]
    assert rest == ["p3", "p4", "p5", "p6", "p7"]


def test_a_subscription_that_ended_and_begins_again_is_told_again() -> None:
    house = House(definition())
    house.decide(membership())
    house.idle()
    house.define()
    assert house.idle() == []
    house.define(definition(version=3))
    assert [a.profile_id for a in house.idle()] == ["p1"]


def test_profiles_go_to_those_who_map_traits_and_carry_no_others() -> None:
    house = House(definition(profiles={"traits": {"plan": "tier"}}), definition(id="crm"))
    house.decide(profile(), profile(version=2, merged_into="p2"))
    assert [a.destination_id for a in house.cycle.activations] == ["ads"]
    assert b'"traits":{"tier":"pro"}' in house.cycle.activations[0].profile
    assert b"secret" not in house.cycle.activations[0].profile
    assert [p.merged_into for p in house.views.profiles] == [None, "p2"]


def erased(segment: str = "vip", *, named: bool = True) -> MembershipChanged:
    person = b'{"identifiers":[{"type":"email","value":"a@x.de"}],"traits":{},"consent":{}}'
    exit_ = membership(member=False, sequence=2, segment=segment)
    return msgspec.structs.replace(
        exit_, cause="erasure", cause_id="r-1", **({"profile": person} if named else {})
    )


def test_an_exit_by_erasure_is_told_and_waited_for() -> None:
    house = House(definition(), definition(id="crm"))
    house.decide(membership(), erased(), erased("other"))
    assert [(a.destination_id, a.member) for a in house.cycle.activations[2:]] == [
        ("ads", False),
        ("crm", False),
    ]
    assert house.views.removals == [
        Removal("r-1", "ads", "vip", "p1", 2),
        Removal("r-1", "crm", "vip", "p1", 2),
    ]
    house.idle()
    assert house.views.told == [frozenset({"ads", "crm"})]


META = {"access_token": "env:META_TOKEN", "ad_account_id": "123"}


def test_a_removal_of_an_ads_platform_waits_for_the_version_it_is_told_under() -> None:
    """There a turn of consent is a change, too."""
    house = House(definition(type="meta_custom_audiences", settings=META))
    house.decide(membership(), erased())
    _, exit_ = house.cycle.activations
    (removal,) = house.views.removals
    assert (removal.version, exit_.member) == (exit_.version, False)
    assert removal.version > 2


def test_of_an_erased_profile_no_consent_is_kept_and_nobody_is_told_of_it() -> None:
    house = House(definition(type="meta_custom_audiences", settings=META))
    house.cycle.memory.put(b"c/p1", b"1")
    house.decide(membership(), msgspec.structs.replace(profile(2), erased=True), erased())
    assert [a.member for a in house.cycle.activations] == [True, False]
    assert not any(key.endswith(b"p1") for key in house.cycle.memory.entries)


def test_an_erasure_that_is_ours_alone_reaches_no_destination() -> None:
    house = House(definition())
    house.decide(membership(), erased(named=False))
    assert [a.member for a in house.cycle.activations] == [True]
    assert house.views.removals == []
    assert house.cycle.memory.get(b"m/vip/p1") is None


def test_an_erased_profile_is_no_update_for_anybody() -> None:
    house = House(definition(profiles={"traits": {"plan": "tier"}}))
    house.decide(msgspec.structs.replace(profile(), erased=True))
    assert house.cycle.activations == []
    assert [p.erased for p in house.views.profiles] == [True]


def test_a_record_that_is_no_business_of_a_router_is_put_aside() -> None:
    house = House()
    house.decide(
        Activation(
            destination_id="ads",
            kind="profile",
            profile_id="p",
            version=1,
            occurred_at=1,
            cause="event",
            profile=b"{}",
        )
    )
    assert house.cycle.rejected == ["unexpected_record"]
