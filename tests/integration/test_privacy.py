"""§17 on the whole platform: people are suppressed at the door and erased from everywhere."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from deploy.local.errors import MissingPrerequisite
from deploy.local.rungs import kafka_lacks, postgres_lacks
from examples.shop.receiver import Receiver
from schemas.codec import decode_as
from schemas.records import DeadLetter, Event
from schemas.topics import DEAD_LETTERS, EVENTS
from services.ingest.domain.traces import traces
from tests.e2e.shop import SECRET, wait_until
from tests.integration.privacy_house import House, read, running_house

ADA = {"ada-7", "phone-7", "ada@shop.example"}
BOB = {"bob-8", "laptop-8"}


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with closing(Receiver(SECRET)) as listening:
        yield listening


@pytest.fixture(scope="module")
def house(receiver: Receiver) -> Iterator[House]:
    lacking: MissingPrerequisite | None = kafka_lacks(os.environ) or postgres_lacks()
    if lacking is not None:
        pytest.skip(str(lacking))
    with tempfile.TemporaryDirectory(prefix="afflux-test-") as name:
        Path(name).chmod(0o755)
        with running_house(Path(name), receiver) as running:
            yield running


def identify(house: House, user: str, device: str, **traits: str) -> None:
    event = {"userId": user, "anonymousId": device, "traits": {"plan": "pro", **traits}}
    assert house.send(type="identify", **event)[0] == 200


def told(receiver: Receiver, name: str) -> list[tuple[bool, str]]:
    """What the destination was told of somebody: member or not, and why."""
    return [(call.member, call.cause) for call in list(receiver.calls) if name in call.names]


def letters(house: House) -> list[set[str]]:
    """What the dead letters name now."""
    found = [value for _, _, value in read(house.shop.platform.bootstrap, DEAD_LETTERS)]
    return [traces(decode_as(DeadLetter, value).raw) for value in found]


def stored(house: House) -> list[str | None]:
    """The users whose events reached the log."""
    records = (written.record for written in house.shop.log[EVENTS])
    return [record.user_id for record in records if isinstance(record, Event)]


def test_17_an_erased_person_is_nowhere_and_the_destinations_are_told(
    house: House, receiver: Receiver
) -> None:
    identify(house, "ada-7", "phone-7", email="Ada@shop.example")
    identify(house, "bob-8", "laptop-8")
    for user in ("ada-7", "bob-8"):
        assert house.send(type="track", event=" ", userId=user)[0] == 200
    wait_until(lambda: bool(told(receiver, "ada-7") and told(receiver, "bob-8")), "both told")
    assert len(house.keeping(ADA)) > 4

    regulation = house.regulate("DELETE_ONLY", "ada-7")
    assert house.regulation(regulation)["overallStatus"] in ("INITIALIZED", "RUNNING")
    wait_until(lambda: house.is_finished(regulation), "the regulation carried out")
    assert told(receiver, "ada-7") == [(True, "event"), (False, "erasure")]
    assert house.keeping(ADA) == []
    assert [bool(named & BOB) for named in letters(house)] == [True]
    (stream,) = house.regulation(regulation)["streamStatus"]
    assert [(d["id"], d["status"]) for d in stream["destinationStatus"]] == [("ads", "FINISHED")]
    assert house.keeping(BOB)
    assert told(receiver, "bob-8") == [(True, "event")]

    identify(house, "ada-7", "phone-7")
    wait_until(lambda: len(told(receiver, "ada-7")) == 3, "a new life begins")
    old, _, new = [call.profile_id for call in receiver.calls if "ada-7" in call.names]
    assert old != new


def test_17_an_internal_erasure_reaches_no_destination(house: House, receiver: Receiver) -> None:
    identify(house, "cleo-9", "tablet-9")
    wait_until(lambda: bool(told(receiver, "cleo-9")), "told")
    regulation = house.regulate("DELETE_INTERNAL", "cleo-9")
    wait_until(lambda: house.is_finished(regulation), "the regulation carried out")
    assert house.keeping({"cleo-9", "tablet-9"}) == []
    assert told(receiver, "cleo-9") == [(True, "event")]
    assert house.regulation(regulation)["streamStatus"][0]["destinationStatus"] == []


@pytest.mark.parametrize("victim", ["ingest", "identity", "segmenter", "router"])
def test_17_an_erasure_is_carried_out_whoever_dies_meanwhile(
    house: House, receiver: Receiver, victim: str
) -> None:
    user, device = f"hal-{victim}", f"desk-{victim}"
    identify(house, user, device)
    wait_until(lambda: bool(told(receiver, user)), "told")
    regulation = house.regulate("DELETE_ONLY", user)
    house.kill(victim)
    wait_until(lambda: house.is_finished(regulation), "the regulation carried out")
    assert house.keeping({user, device}) == []
    assert told(receiver, user) == [(True, "event"), (False, "erasure")]
    wait_until(lambda: house.shop.is_ready("ingest"), "ingest is back")


def test_17_a_suppressed_person_is_answered_and_discarded(house: House) -> None:
    regulation = house.regulate("SUPPRESS_ONLY", "dan-1")
    wait_until(lambda: house.is_finished(regulation), "in force")
    before = house.suppressed()

    def is_discarded() -> bool:
        status, answer = house.send(type="track", event="Seen", userId="dan-1")
        assert (status, answer["success"]) == (200, True)
        return house.suppressed() > before

    wait_until(is_discarded, "suppressed")
    reached = stored(house).count("dan-1")
    house.send(type="alias", userId="eve-2", previousId="dan-1")
    house.send(type="track", event=" ", userId="dan-1")
    house.send(type="track", event="Seen", userId="eve-2")
    wait_until(lambda: "eve-2" in stored(house), "somebody else taken")
    assert stored(house).count("dan-1") == reached
    assert stored(house).count("eve-2") == 1
    assert not any("dan-1" in named for named in letters(house))

    refused = {"regulationType": "UNSUPPRESS", "subjectType": "USER_ID", "subjectIds": ["dan-1"]}
    status, answer = house.call("POST", "/regulations/sources/web", refused)
    assert (status, answer["errors"][0]["field"]) == (400, "subjectIds")
    house.regulate("UNSUPPRESS", "dan-1")

    def is_taken() -> bool:
        house.send(type="track", event="Seen", userId="dan-1")
        return stored(house).count("dan-1") > reached

    wait_until(is_taken, "no longer suppressed")


def test_17_the_archive_of_one_source_forgets_a_person(house: House) -> None:
    for user in ("fay-3", "gus-4"):
        house.send(type="track", event=" ", userId=user)
    wait_until(lambda: any("fay-3" in named for named in letters(house)), "put aside")
    regulation = house.regulate("DELETE_ARCHIVE_ONLY", "fay-3", source="web")
    wait_until(lambda: house.is_finished(regulation), "the regulation carried out")
    assert not any("fay-3" in named for named in letters(house))
    assert sum("gus-4" in named for named in letters(house)) == 1
