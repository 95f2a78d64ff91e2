"""Profiles that a partition keeps at hand between the cycles, and what is written of them."""

from typing import Any

import msgspec
import pytest

from schemas.records import ProfileEvent, ProfileTransferred
from services.segmenter.domain.profile import FORMAT, OtherFormat, Profile
from services.segmenter.handlers import handle
from services.segmenter.partition import Work
from tests.unit.segmenter.memory_log import SETTINGS, Log

START = 1_800_000_000_000
BOUGHT: dict[str, Any] = {"event": "Bought", "within": "1d"}
OLDER = msgspec.msgpack.encode(["p_1", 3, START, None, [], b"", {}, [], {}])


def event(profile_id: str, message: str, name: str) -> ProfileEvent:
    return ProfileEvent(
        profile_id=profile_id,
        message_id=message,
        source_id="web",
        type="track",
        name=name,
        timestamp=START,
        received_at=START,
        payload=b"{}",
    )


def told(*names: str) -> Log:
    """What one profile did, each in a cycle of its own."""
    log = Log({"bought": BOUGHT}, start=START)
    for number, name in enumerate(names):
        log.clock += 1000
        log.append("p_1", event("p_1", f"m{number}", name))
        log.quiet()
    return log


def written(log: Log) -> list[bytes]:
    return [data for table in log.tables for key, data in table.scan(b"p")]


def test_an_event_that_changes_nothing_is_not_written() -> None:
    assert written(told("Bought", "Looked", "Looked")) == written(told("Bought"))
    assert written(told("Bought", "Bought")) != written(told("Bought"))


def test_only_so_many_profiles_stay_at_hand_the_latest() -> None:
    log = Log({"bought": BOUGHT}, start=START)
    for number in range(30):
        log.append(f"p_{number}", event(f"p_{number}", f"m{number}", "Bought"))
        log.quiet()
    for partition, table in enumerate(log.tables):
        hot = log.owner(partition)._partitions[partition].hot
        assert len(hot) == SETTINGS.hot_profiles < len(list(table.scan(b"p")))
        for profile_id, kept in hot.items():
            assert table.entries[b"p" + profile_id.encode()].endswith(kept.profile.encode())


@pytest.mark.parametrize("data", [OLDER, msgspec.msgpack.encode([FORMAT + 1]), b"\x01"])
def test_bytes_of_another_version_are_never_misread(data: bytes) -> None:
    with pytest.raises(OtherFormat):
        Profile.decode("p_1", data)


def test_a_state_sent_by_another_version_goes_to_the_dead_letters() -> None:
    log = told("Bought")
    before = written(log)
    sent = ProfileTransferred(loser="p_0", winner="p_1", merge_id="m", at=START, state=OLDER)
    number = next(n for n, table in enumerate(log.tables) if list(table.scan(b"p")))
    work = Work(log.owner(number)._partitions[number], log, log.tables[number], len(log.tables))
    outcome = handle(sent, work)
    work.finish()
    assert getattr(outcome, "reason", None) == "state_of_another_version"
    assert written(log) == before
