"""Connections that are slow, idle or too many cost nobody else anything."""

import socket
import time
from collections.abc import Iterator

import psutil
import pytest

from schemas.topics import DEAD_LETTERS, DEFINITIONS, EVENTS
from tests.integration.conftest import KafkaAddress
from tests.integration.ingest_process import IngestProcess, define_source, ingest_process, until
from tests.integration.topics import recreate_topics

SETTINGS = {"AFFLUX_INGEST_REQUEST_S": "2", "AFFLUX_INGEST_CONNECTIONS": "2100"}
IDLE = 2000
HEAD = b"POST /v1/track HTTP/1.1\r\nHost: x\r\nX-Write-Key: WK_INTEGRATION\r\n"


@pytest.fixture
def running(kafka: KafkaAddress) -> Iterator[IngestProcess]:
    recreate_topics(kafka.bootstrap, (EVENTS, DEAD_LETTERS, DEFINITIONS), 3)
    define_source(kafka.bootstrap)
    with ingest_process(kafka.bootstrap, SETTINGS) as process:
        process.until_ready()
        yield process


def open_to(running: IngestProcess) -> socket.socket:
    return socket.create_connection(("127.0.0.1", running.port), timeout=10)


def closed_after(connection: socket.socket, dripping: bytes = b"") -> float:
    """Seconds until the other side closes, a byte a fifth of a second meanwhile."""
    began = time.monotonic()
    connection.settimeout(0.2)
    for byte in dripping.ljust(100, b"x"):
        try:
            if dripping:
                connection.sendall(bytes((byte,)))
            if connection.recv(1000) == b"":
                break
        except TimeoutError:
            continue
        except ConnectionError:
            break
    return time.monotonic() - began


def test_12_who_sends_a_head_or_a_body_too_slowly_is_closed_upon(running: IngestProcess) -> None:
    with open_to(running) as silent:
        assert 1 < closed_after(silent) < 8
    with open_to(running) as dripping:
        assert 1 < closed_after(dripping, HEAD) < 8
    with open_to(running) as dripping:
        dripping.sendall(HEAD + b"Content-Length: 1000\r\n\r\n")
        assert 1 < closed_after(dripping, b'{"event":') < 8
    assert running.metric("afflux_ingest_slow_connections_total") == 3
    assert running.metric("afflux_ingest_requests_in_flight") == 0


def test_12_a_connection_in_use_stays_open(running: IngestProcess) -> None:
    request = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
    with open_to(running) as connection:
        for _ in range(8):
            connection.sendall(request)
            assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")
            time.sleep(0.5)


def test_idle_connections_are_bounded_and_cost_little_memory(running: IngestProcess) -> None:
    process = psutil.Process(running.process.pid)
    before = process.memory_info().rss
    connections: list[socket.socket] = []
    try:
        for _ in range(IDLE):
            connections.append(open_to(running))
            connections[-1].sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        for connection in connections:
            assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")
        assert process.memory_info().rss - before < 100 * 1024 * 1024
        assert running.get("/health").status == 200
        connections += [open_to(running) for _ in range(200)]
        until(lambda: any(closed_after(one) < 5 for one in connections[-3:]), "one closed upon")
    finally:
        for connection in connections:
            connection.close()
    until(lambda: _is_served(running), "room again")


def _is_served(running: IngestProcess) -> bool:
    """Whether there is room for one more connection."""
    try:
        return running.get("/health").status == 200
    except ConnectionError:
        return False
