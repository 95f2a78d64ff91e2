"""What the health server answers."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from services.runtime.health import Health, HealthServer, PortTaken, serve


@pytest.fixture
def health() -> Health:
    return Health("segmenter", worker=1)


@pytest.fixture
def server(health: Health) -> Iterator[HealthServer]:
    server = serve(health, "127.0.0.1", 0)
    yield server
    server.close()


def answer(server: HealthServer, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}") as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.read().decode()


def test_a_starting_process_is_alive_and_not_ready(server: HealthServer) -> None:
    assert answer(server, "/livez") == (200, "alive\n")
    assert answer(server, "/readyz") == (503, "starting\n")


def test_readiness_comes_and_goes_with_its_reason(health: Health, server: HealthServer) -> None:
    health.ready()
    assert answer(server, "/readyz?verbose") == (200, "ready\n")
    health.not_ready("waiting for Kafka")
    assert answer(server, "/readyz") == (503, "waiting for Kafka\n")


def test_metrics_are_in_prometheus_text(server: HealthServer) -> None:
    status, text = answer(server, "/metrics")
    assert status == 200
    assert "# TYPE " in text


def test_status_tells_the_definitions_in_force(health: Health, server: HealthServer) -> None:
    health.definitions = lambda: {"segment:pro": 2}
    assert json.loads(answer(server, "/status")[1]) == {
        "service": "segmenter",
        "worker": 1,
        "ready": False,
        "reason": "starting",
        "definitions": {"segment:pro": 2},
    }


def test_other_paths_are_not_found(server: HealthServer) -> None:
    assert answer(server, "/")[0] == 404


def test_a_taken_port_is_a_sentence(health: Health, server: HealthServer) -> None:
    with pytest.raises(PortTaken, match=f"port {server.port} is taken; set AFFLUX_HEALTH_PORT"):
        serve(health, "127.0.0.1", server.port)
