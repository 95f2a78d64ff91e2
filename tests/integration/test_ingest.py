"""Ingest with a real broker: what is answered 200 is in the log, once, in order, as sent."""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from segment.analytics.client import Client

from schemas.codec import decode_as
from schemas.records import DeadLetter, Event
from schemas.topics import DEAD_LETTERS, DEFINITIONS, EVENTS, partition_of
from tests.contract.ingest_server import ask, connected
from tests.integration.conftest import KafkaAddress
from tests.integration.ingest_process import (
    KEY,
    IngestProcess,
    define_source,
    ingest_process,
    stored,
    until,
)
from tests.integration.topics import recreate_topics

PARTITIONS = 3


@pytest.fixture
def broker(kafka: KafkaAddress) -> str:
    recreate_topics(kafka.bootstrap, (EVENTS, DEAD_LETTERS, DEFINITIONS), PARTITIONS)
    return kafka.bootstrap


@pytest.fixture
def running(broker: str) -> Iterator[IngestProcess]:
    define_source(broker)
    with ingest_process(broker) as process:
        process.until_ready()
        yield process


def events(broker: str) -> list[list[Event]]:
    return [
        [decode_as(Event, message.value()) for message in partition]
        for partition in stored(broker, EVENTS, PARTITIONS)
    ]


def letters(broker: str) -> list[DeadLetter]:
    return [
        decode_as(DeadLetter, message.value())
        for partition in stored(broker, DEAD_LETTERS, PARTITIONS)
        for message in partition
    ]


def track(number: int, user: str, **changes: Any) -> dict[str, Any]:
    properties: dict[str, Any] = {
        "number": number,
        "exact": 10**30,
        "float": 1.0,
        "null": None,
        "deep": [{"a": []}],
    }
    event = {"type": "track", "event": "Counted", "messageId": f"{user}-{number}", "userId": user}
    return event | {"properties": properties} | changes


def test_what_the_segment_library_sends_is_in_the_log(broker: str, running: IngestProcess) -> None:
    errors: list[Exception] = []
    client = Client(KEY, host=running.url, on_error=lambda error, _: errors.append(error))
    for number in range(300):
        client.track(f"u{number % 20}", "Counted", {"number": number})
    client.track("u1", "")
    client.track("u1", "   ")
    client.flush()
    client.join()
    assert errors == []
    partitions = events(broker)
    found: dict[str, list[int]] = {}
    for number, partition in enumerate(partitions):
        for event in partition:
            assert event.user_id is not None
            assert partition_of(event.user_id.encode(), PARTITIONS) == number
            found.setdefault(event.user_id, []).append(
                json.loads(event.payload)["properties"]["number"]
            )
    assert found == {f"u{user}": list(range(user, 300, 20)) for user in range(20)}
    assert [letter.code for letter in letters(broker)] == ["event_not_defined"] * 2


def test_s8_an_event_is_stored_as_it_was_sent(broker: str, running: IngestProcess) -> None:
    sent = track(1, "u1", anonymousId="a1", Other={"Key": "é😀"}, timestamp="2026-11-23T12:00:00Z")
    reply = running.post("/v1/batch", {"batch": [sent, 1]}, **{"X-Request-Id": "r1"})
    assert (reply.status, reply.json["accepted"], reply.json["rejected"]) == (200, 1, 1)
    number = partition_of(b"a1", PARTITIONS)
    (message,) = stored(broker, EVENTS, PARTITIONS)[number]
    assert message.key() == b"a1"
    assert dict(message.headers()) == {
        "request_id": b"r1",
        "path": b"/v1/batch",
        "client_ip": b"127.0.0.1",
    }
    event = decode_as(Event, message.value())
    payload = json.loads(event.payload)
    assert {field: payload[field] for field in sent if field != "timestamp"} == {
        field: value for field, value in sent.items() if field != "timestamp"
    }
    assert payload["originalTimestamp"] == "2026-11-23T12:00:00.000Z"
    (letter,) = letters(broker)
    assert (letter.code, letter.index, letter.raw) == ("not_an_object", 1, b"1")


def test_s12_many_senders_at_once_keep_each_users_order(
    broker: str, running: IngestProcess
) -> None:
    replies: list[int] = []

    def send(user: str) -> None:
        with connected(running.port) as connection:
            for start in range(0, 100, 5):
                batch = {"batch": [track(number, user) for number in range(start, start + 5)]}
                reply = ask(connection, "POST", "/v1/batch", batch, {"X-Write-Key": KEY})
                replies.append(reply.status)

    threads = [threading.Thread(target=send, args=(f"u{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert replies == [200] * 160
    order: dict[str | None, list[str]] = {}
    for partition in events(broker):
        for event in partition:
            order.setdefault(event.user_id, []).append(event.message_id)
    assert order == {
        f"u{user}": [f"u{user}-{number}" for number in range(100)] for user in range(8)
    }


def test_s6_events_near_the_record_limit_pass_and_larger_ones_are_put_aside(
    broker: str,
) -> None:
    define_source(broker, profile="rudderstack")
    with ingest_process(broker) as running:
        running.until_ready()
        sizes = (900_000, 900_000, 900_000, 900_000)
        batch = [track(n, "u1", note="x" * size) for n, size in enumerate(sizes)]
        assert running.post("/v1/batch", {"batch": batch}).json == {"success": True}
        grown = {"batch": [track(9, "u1")], "context": {"note": "x" * 1_100_000}}
        assert running.post("/v1/batch", grown).json["errors"][0]["code"] == "event_too_large"
    assert sorted(event.message_id for part in events(broker) for event in part) == [
        f"u1-{n}" for n in range(4)
    ]
    assert [letter.code for letter in letters(broker)] == ["event_too_large"]


def test_a_new_source_is_in_force_within_seconds(broker: str, running: IngestProcess) -> None:
    assert running.post("/v1/track", track(1, "u1")).status == 200
    define_source(broker, enabled=False)
    until(lambda: running.post("/v1/track", track(2, "u1")).status == 403, "the source disabled", 5)


def test_3_1_a_revoked_key_is_refused_within_ten_seconds(
    broker: str, running: IngestProcess
) -> None:
    assert running.post("/v1/track", track(1, "u1")).status == 200
    define_source(broker, write_keys=["env:PATH"])
    until(lambda: running.post("/v1/track", track(2, "u1")).status == 401, "the key revoked", 10)


def test_s3_without_definitions_the_answer_is_503_never_401(broker: str) -> None:
    with ingest_process(broker, {"WEB_KEY": ""}) as running:
        running.until_ready()
        assert running.post("/v1/track", track(1, "u1")).status == 401
        define_source(broker)
        until(lambda: running.post("/v1/track", track(1, "u1")).status == 503, "a missing secret")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_s12_told_to_stop_it_finishes_what_is_in_flight(
    broker: str, running: IngestProcess, number: int
) -> None:
    head = f"POST /v1/track HTTP/1.1\r\nHost: x\r\nX-Write-Key: {KEY}\r\n"
    body = json.dumps(track(1, "u1"))
    with connected(running.port) as slow:
        slow.connect()
        slow.sock.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n{body[:20]}".encode())
        until(lambda: b"in_flight 1.0" in _metrics(running), "the request in flight")
        running.process.send_signal(number)
        running.line("stopping")
        slow.sock.sendall(body[20:].encode())
        reply = slow.sock.recv(10_000).decode()
    assert reply.startswith("HTTP/1.1 200 ")
    assert "connection: close" in reply.lower()
    assert running.process.wait(20) == 0
    assert [event.message_id for part in events(broker) for event in part] == ["u1-1"]


def _metrics(running: IngestProcess) -> bytes:
    port = running.line("health is served")["port"]
    with connected(port) as connection:
        return ask(connection, "GET", "/metrics").body


def test_rule_15_the_counters_agree_with_the_log(broker: str, running: IngestProcess) -> None:
    running.post("/v1/batch", {"batch": [track(1, "u1"), 1, track(2, "u1", userId=True)]})
    running.post("/v1/batch", b"{")
    text = _metrics(running).decode()
    for line in (
        'afflux_ingest_events_received_total{source="web"} 4.0',
        'afflux_ingest_events_accepted_total{source="web"} 1.0',
        'afflux_ingest_events_rejected_total{code="not_an_object",source="web"} 1.0',
        'afflux_ingest_events_rejected_total{code="id_not_string",source="web"} 1.0',
        'afflux_ingest_events_rejected_total{code="invalid_json",source="web"} 1.0',
        'afflux_ingest_requests_total{route="/v1/batch",status="200"} 1.0',
        'afflux_ingest_requests_total{route="/v1/batch",status="400"} 1.0',
    ):
        assert line in text
    assert len(letters(broker)) == 3


def test_a_taken_port_is_one_clear_sentence(running: IngestProcess, tmp_path: Path) -> None:
    second = subprocess.run(
        [sys.executable, "-m", "services.ingest"],
        env={"AFFLUX_INGEST_PORT": str(running.port), "AFFLUX_KAFKA_BOOTSTRAP": "127.0.0.1:1"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert second.returncode == 1
    assert second.stderr.strip() == (
        f"port {running.port} is taken; set AFFLUX_INGEST_PORT to another"
    )
