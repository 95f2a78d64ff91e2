"""`afflux explain` and `afflux history` on running services, as a person calls them."""

import json
import os
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from confluent_kafka import Producer

from schemas.codec import encode
from schemas.records import Identifier, MembershipChanged
from schemas.topics import MEMBERSHIPS, partition_of
from services.control.cli import run
from services.control.platform import Platform, running_platform
from services.identity.domain.ids import profile_id

PARTITIONS = 2
PATIENCE_S = 60.0
SERVICES = {"ingest": 1, "identity": 1, "segmenter": 1}
WORKSPACE = """\
kind: source
id: web
name: Website
write_keys: [env:EXPLAIN_WRITE_KEY]
---
kind: segment
id: regulars
where: {event: Order Completed, count: {at_least: 2}, within: 90d}
---
kind: segment
id: fresh
where: {event: Order Completed, within: 2s}
"""
ADA = profile_id(Identifier("user_id", "ada"))
DEVICE = profile_id(Identifier("anonymous_id", "phone"))


@dataclass(frozen=True, slots=True)
class Shop:
    """Running services, and the command line beside them."""

    platform: Platform
    capture: pytest.CaptureFixture[str]

    def send(self, call: str, **event: Any) -> None:
        """One call of a tracker."""
        authorization = b64encode(b"explain-key:").decode()
        request = Request(
            f"{self.platform.ingest_urls[0]}/v1/{call}",
            json.dumps(event).encode(),
            {"authorization": f"Basic {authorization}", "content-type": "application/json"},
        )
        with urlopen(request, timeout=10) as answer:
            assert answer.status == 200

    def order(self, message_id: str, **who: str) -> None:
        self.send("track", event="Order Completed", messageId=message_id, **who)

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, output, error output."""
        code = run(arguments)
        return code, *self.capture.readouterr()

    def document(self, *arguments: str) -> tuple[int, Any]:
        """Exit code and the JSON document; None where there was only a sentence."""
        code, output, _ = self.run(*arguments, "--json")
        return code, json.loads(output) if output else None


@pytest.fixture
def shop(
    directory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Shop]:
    folder = directory / "workspace"
    folder.mkdir()
    (folder / "all.yaml").write_text(WORKSPACE, encoding="utf-8")
    with running_platform(
        directory / "data",
        workers=SERVICES,
        partitions=PARTITIONS,
        durable=False,
        environment={**os.environ, "EXPLAIN_WRITE_KEY": "explain-key"},
    ) as platform:
        monkeypatch.setenv("AFFLUX_KAFKA_BOOTSTRAP", platform.bootstrap)
        monkeypatch.setenv("AFFLUX_POSTGRES_DSN", platform.dsn)
        monkeypatch.setenv("AFFLUX_PARTITIONS", str(PARTITIONS))
        shop = Shop(platform, capsys)
        assert shop.run("apply", str(folder))[0] == 0
        wait_until(lambda: _takes_events(shop))
        yield shop


def test_a_membership_is_explained_compared_and_remembered(shop: Shop) -> None:
    """One shop for the whole story, because starting it is what takes time."""
    _a_member_is_explained(shop)
    _somebody_outside_learns_what_is_missing(shop)
    _a_merged_profile_is_its_survivor(shop)
    _the_past_is_as_it_was_decided(shop)
    _who_is_not_known_is_a_sentence(shop)
    _a_disagreement_is_loud(shop)


def _a_member_is_explained(shop: Shop) -> None:
    shop.order("ada-1", userId="ada")
    shop.order("ada-2", userId="ada")
    wait_until(lambda: _is_member(shop, "user_id:ada", "regulars"))
    code, found = shop.document("explain", "ada", "regulars")
    assert (code, found["profile_id"], found["member"]) == (0, ADA, True)
    evidence = [each["message_id"] for each in found["condition"]["evidence"]]
    assert sorted(evidence) == ["ada-1", "ada-2"]
    assert [check["agrees"] for check in found["checks"]] == [True, True]
    assert found["changes_at"] == found["smallest_change"][0]["by_itself_at"]
    assert found["decided"]["member"] is True
    code, text, _ = shop.run("explain", ADA, "regulars")
    assert code == 0
    assert f"{ADA} is in regulars (version 1)" in text
    assert "✓ Order Completed, at least 2 times within 90d — 2 times" in text
    assert "the running membership says the same" in text
    assert "a recomputation by SQL says the same" in text


def _somebody_outside_learns_what_is_missing(shop: Shop) -> None:
    shop.order("bob-1", userId="bob")
    wait_until(lambda: _knows(shop, "bob"))
    code, text, _ = shop.run("explain", "bob", "regulars")
    assert code == 0
    assert "is not in regulars" in text
    assert "- 1 more Order Completed within 90d, by 20" in text


def _a_merged_profile_is_its_survivor(shop: Shop) -> None:
    shop.order("phone-1", anonymousId="phone")
    wait_until(lambda: _knows(shop, "phone"))
    before = _instant(time.time())
    shop.send("identify", userId="ada", anonymousId="phone")
    wait_until(lambda: shop.document("explain", DEVICE, "regulars")[1]["profile_id"] == ADA)
    _, found = shop.document("explain", DEVICE, "regulars")
    evidence = [each["message_id"] for each in found["condition"]["evidence"]]
    assert (found["merged_from"], len(evidence)) == (DEVICE, 3)
    assert "was merged" in shop.run("explain", DEVICE, "regulars")[1]
    code, then = shop.document("explain", DEVICE, "regulars", "--at", before)
    assert (code, then["profile_id"], then["member"]) == (0, DEVICE, False)
    assert [check["agrees"] for check in then["checks"]] == [True, True]


def _the_past_is_as_it_was_decided(shop: Shop) -> None:
    _, found = shop.document("history", "bob")
    entered, left = (c for c in found["changes"] if c["segment_id"] == "fresh")
    assert (entered["cause"], left["cause"]) == ("event", "time")
    code, then = shop.document(
        "history", "--segment", "fresh", "--at", entered["occurred_at"], "--recomputed"
    )
    members = {each["profile_id"] for each in then["memberships"] if each["member"]}
    assert code == 0
    assert entered["profile_id"] in members
    assert all(each["recomputed"] is each["member"] for each in then["memberships"])
    code, after = shop.document("history", "bob", "--at", left["occurred_at"])
    assert (code, [each["member"] for each in after["memberships"]]) == (0, [False])
    assert "left" in shop.run("history", "bob")[1]


def _who_is_not_known_is_a_sentence(shop: Shop) -> None:
    for arguments, sentence in [
        (["explain", "nobody", "regulars"], "no profile has this identifier"),
        (["explain", f"p_{'a' * 26}", "regulars"], "nothing about p_a"),
        (["explain", "ada", "regular"], 'did you mean "regulars"?'),
        (["explain", "ada", "regulars", "--at", "2020-01-01"], "no segment"),
        (["explain", "ada", "regulars", "--at", "2999-01-01"], "the log has only come to"),
        (["explain", "ada", "regulars", "--at", "yesterday"], '"yesterday" is no instant'),
        (["history"], "name either a profile or --segment"),
        (
            ["history", "--segment", "regular"],
            'there is no segment "regular", did you mean "regulars"?',
        ),
        (
            ["audit", "--segment", "regular"],
            'there is no segment "regular", did you mean "regulars"?',
        ),
    ]:
        code, output, error = shop.run(*arguments)
        assert (code, output) == (2, "")
        assert sentence in error


def _a_disagreement_is_loud(shop: Shop) -> None:
    """Somebody else writes a membership that nothing supports."""
    bob = shop.document("explain", "bob", "regulars")[1]["profile_id"]
    now = time.time_ns() // 1_000_000 - 1000
    forged = MembershipChanged(
        segment_id="regulars",
        segment_version=1,
        profile_id=bob,
        member=True,
        sequence=1,
        occurred_at=now,
        decided_at=now,
        cause="event",
        cause_id="forged",
        profile=b"{}",
    )
    producer = Producer({"bootstrap.servers": shop.platform.bootstrap})
    partition = partition_of(bob.encode(), PARTITIONS)
    producer.produce(MEMBERSHIPS.name, encode(forged), bob, partition)
    assert producer.flush(10) == 0
    code, output, error = shop.run("explain", "bob", "regulars")
    assert code == 1
    assert "DISAGREEMENT: the running membership says a member" in output
    assert "disagree" in error


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def _takes_events(shop: Shop) -> bool:
    with urlopen(f"{shop.platform.processes[0].url}/status", timeout=5) as answer:
        return "source:web" in json.load(answer)["definitions"]


def _is_member(shop: Shop, who: str, segment: str) -> bool:
    _, found = shop.document("explain", who, segment)
    return found is not None and bool(found["member"]) and found["checks"][0]["agrees"] is True


def _knows(shop: Shop, who: str) -> bool:
    return (
        shop.document("history", who)[1] is not None
        and len(shop.document("history", who)[1]["changes"]) >= 2
    )


def _instant(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
