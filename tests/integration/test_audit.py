"""Audits of running workers, by the command and by themselves: nothing differs until one lies."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import msgspec
import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from schemas.codec import encode
from schemas.records import EventType, ProfileEvent, ProfileMerged
from schemas.topics import MEMBERSHIPS, PROFILE_EVENTS, TOPICS, changelog, partition_of
from services.control.audited import audit_lines
from services.control.cli import run
from services.control.segments_in_force import newest_segments
from services.runtime.kafka import client
from services.runtime.past import reach
from services.segmenter.audit import Manner, audit
from tests.integration.activator_house import wait_until
from tests.integration.conftest import KafkaAddress
from tests.integration.segmenter_house import Feed, Workers, changes
from tests.integration.topics import recreate_topics

PARTITIONS = 4
PEOPLE = 600
SEGMENTS = {
    "often": {"event": "Order", "count": {"at_least": 3}, "within": "4s"},
    "spent": {"event": "Order", "sum": "total", "op": "at_least", "value": 60},
    "left": {"sequence": [{"event": "Cart"}, {"absent": {"event": "Order"}, "wait": "1s"}]},
    "pro": {"trait": "plan", "op": "equals", "value": "pro", "for_at_least": "2s"},
    "quiet": {"all": [{"not": {"in_segment": "often"}}, {"percent": 50, "salt": "s"}]},
}


class Crowd:
    """Random customers, some of whom turn out to be one."""

    def __init__(self) -> None:
        self._random = Random(5)
        self._count = 0
        self._merged: set[str] = set()

    def act(self, count: int) -> Iterator[tuple[str, ProfileEvent | ProfileMerged]]:
        """What so many of them do, and sometimes a merge."""
        for _ in range(count):
            who, self._count = f"p{self._random.randrange(PEOPLE)}", self._count + 1
            if self._random.random() < 0.01 and who not in self._merged and who != "p0":
                self._merged.add(who)
                yield who, _merge(who)
            else:
                yield who, self._event(who)

    def _event(self, who: str) -> ProfileEvent:
        now = int(time.time() * 1000) - self._random.choice((0, 0, 500, 3000))
        content = {
            "properties": {"total": self._random.randrange(30)},
            "traits": {"plan": self._random.choice(("pro", "free"))},
        }
        kinds: tuple[tuple[EventType, str | None], ...] = (
            ("track", "Order"),
            ("track", "Cart"),
            ("identify", None),
        )
        kind, name = self._random.choice(kinds)
        return ProfileEvent(
            profile_id=who,
            message_id=f"m{self._count}",
            source_id="web",
            type=kind,
            name=name,
            timestamp=now,
            received_at=now,
            payload=msgspec.json.encode(content),
        )


def _merge(who: str) -> ProfileMerged:
    return ProfileMerged(loser=who, winner="p0", merge_id=f"{who}>p0", cause="m", at=0)


def test_s8_an_audit_finds_nothing_while_events_flow_and_a_lie_at_once(
    kafka: KafkaAddress,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recreate_topics(kafka.bootstrap, (*TOPICS, changelog("segmenter")), PARTITIONS)
    feed, crowd = Feed(kafka.bootstrap, PARTITIONS), Crowd()
    often = {
        "AFFLUX_AUDIT_INTERVAL_S": "0.5",
        "AFFLUX_AUDIT_PATIENCE_S": "10",
        "AFFLUX_AUDIT_RECORDS_PER_SECOND": "1000000",
    }
    workers = Workers(kafka.bootstrap, tmp_path, PARTITIONS, often)
    try:
        for name, where in SEGMENTS.items():
            feed.define(name, 1, where)
        workers.start(0, 1)
        feed.publish(crowd.act(2000))
        wait_until(lambda: len(changes(kafka.bootstrap, PARTITIONS)) > 500, "changes come")
        for _ in range(4):
            feed.publish(crowd.act(1000))
            _finds_nothing(kafka.bootstrap)
        wait_until(lambda: workers.metric(0, "afflux_segment_audit_checked_total") > 0, "checked")
        assert workers.metric(0, "afflux_segment_audit_mismatches_total") == 0
        monkeypatch.setenv("AFFLUX_KAFKA_BOOTSTRAP", kafka.bootstrap)
        monkeypatch.setenv("AFFLUX_ESTIMATE_DIR", str(tmp_path / "estimate"))
        _the_command_says_so(capsys)
        _an_estimate_counts_the_same(kafka.bootstrap, tmp_path, feed, crowd, capsys)
        _a_log_cut_off_is_said(kafka.bootstrap)
        _a_lie_is_found(kafka.bootstrap)
        wait_until(
            lambda: workers.metric(0, "afflux_segment_audit_mismatches_total") > 0,
            "a worker finds it, too",
        )
    finally:
        workers.close()


def _finds_nothing(bootstrap: str) -> None:
    found = audit(bootstrap, newest_segments(bootstrap))
    assert found.differences == []
    assert found.since is None
    assert set(found.segments) == set(SEGMENTS)
    assert min(each.compared + each.behind for each in found.segments.values()) > PEOPLE // 2


def _the_command_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["audit", "--sample", "30", "--segment", "spent", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["differences"] == []
    assert [each["segment"] for each in document["segments"]] == ["spent"]
    assert PEOPLE * 0.15 < document["profiles"] < PEOPLE * 0.45


def _an_estimate_counts_the_same(
    bootstrap: str, directory: Path, feed: Feed, crowd: Crowd, capsys: pytest.CaptureFixture[str]
) -> None:
    file = directory / "rich.yaml"
    file.write_text(f"kind: segment\nid: rich\nwhere: {json.dumps(SEGMENTS['spent'])}\n")
    for _ in range(2):
        feed.publish(crowd.act(300))
        assert run(["estimate", str(file), "--json"]) == 0
        (estimate,) = json.loads(capsys.readouterr().out)
        wait_until(
            lambda: _members(bootstrap, "spent") == estimate["members"],  # noqa: B023
            "as many members as estimated",
        )
    assert run(["estimate", "spend"]) == 2
    assert 'did you mean "spent"?' in capsys.readouterr().err


def _members(bootstrap: str, segment: str) -> int:
    return sum(
        told[-1].member
        for (name, _), told in changes(bootstrap, PARTITIONS).items()
        if name == segment
    )


def _a_log_cut_off_is_said(bootstrap: str) -> None:
    """What it is too short for is counted, the rest is compared; merged profiles stay merged."""
    ends = reach(bootstrap, PROFILE_EVENTS.name).ends
    halves = [TopicPartition(PROFILE_EVENTS.name, n, end // 2) for n, end in ends.items()]
    admin = AdminClient(client(bootstrap))
    for deletion in admin.delete_records(halves).values():
        deletion.result(30)
    found = audit(bootstrap, newest_segments(bootstrap))
    assert found.since is not None
    assert found.differences == []
    assert found.segments["spent"].unknown > 0
    assert found.segments["often"].unknown == 0
    assert found.segments["pro"].compared > 0


def _a_lie_is_found(bootstrap: str) -> None:
    told = changes(bootstrap, PARTITIONS)
    (segment, who), changed = next((p, c) for p, c in told.items() if p[0] == "often")
    last = changed[-1]
    lie = msgspec.structs.replace(last, member=not last.member, sequence=last.sequence + 1)
    producer = Producer(client(bootstrap))
    partition = partition_of(who.encode(), PARTITIONS)
    producer.produce(MEMBERSHIPS.name, encode(lie), who.encode(), partition=partition)
    producer.flush()
    found = audit(bootstrap, newest_segments(bootstrap), Manner(patience_s=1))
    (difference,) = found.differences
    assert (difference.profile_id, difference.segment_id) == (who, segment)
    assert "the recomputation says" in next(audit_lines(found))
