"""Liveness, readiness, metrics and status, answered from a thread of its own."""

import json
import threading
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest

from services.runtime import metrics

STALLED_S = 30.0
"""Longer than a commit may take."""


class Health:
    """Whether this process works; `/readyz` says it with the reason when it does not."""

    def __init__(self, service: str, worker: int = 0) -> None:
        self.service = service
        self.worker = worker
        self._reason: str | None = "starting"
        self._turned: float | None = None
        self.definitions: Callable[[], Mapping[str, int]] = dict
        """`kind:id` → newest version known here; for `/status`."""
        self.details: Callable[[], Mapping[str, Any]] = dict
        """What else this service says of itself there."""

    @property
    def reason(self) -> str | None:
        """Why it does not work; None when it does."""
        if self._reason is None and self._turned is not None:
            stands = time.monotonic() - self._turned
            return f"the loop stands still for {stands:.0f} s" if stands > STALLED_S else None
        return self._reason

    @property
    def is_ready(self) -> bool:
        return self.reason is None

    def turned(self) -> None:
        """A loop calls this each time; when it stops doing so, it hangs in a call, not ready.

        (librdkafka's `send_offsets_to_transaction` outlives its timeout while no broker is there.)
        """
        self._turned = time.monotonic()

    def ready(self) -> None:
        self._reason = None
        metrics.READY.set(1)

    def not_ready(self, reason: str) -> None:
        self._reason = reason
        metrics.READY.set(0)

    def status(self) -> dict[str, Any]:
        """What `afflux status` shows of this process."""
        return {
            "service": self.service,
            "worker": self.worker,
            "ready": self.is_ready,
            "reason": self.reason,
            "definitions": dict(self.definitions()),
            **self.details(),
        }


class PortTaken(OSError):
    """Another process listens there already."""


class HealthServer:
    """Serves `/livez`, `/readyz`, `/metrics` and `/status` until closed."""

    def __init__(self, health: Health, host: str, port: int) -> None:
        try:
            self._server = ThreadingHTTPServer((host, port), _handler(health))
        except OSError as error:
            raise PortTaken(f"port {port} is taken; set AFFLUX_HEALTH_PORT to another") from error
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.2,), name="health", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def serve(health: Health, host: str, port: int) -> HealthServer:
    """Start answering.

    Raises:
        PortTaken: the port is in use.
    """
    return HealthServer(health, host, port)


def _handler(health: Health) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, content_type, body = _answer(health, self.path.partition("?")[0])
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Requests for metrics are nothing an operator wants to know."""

    return Handler


def _answer(health: Health, path: str) -> tuple[int, str, bytes]:
    match path:
        case "/livez":
            return 200, "text/plain", b"alive\n"
        case "/readyz":
            reason = health.reason
            return (
                (200, "text/plain", b"ready\n")
                if reason is None
                else (
                    503,
                    "text/plain",
                    f"{reason}\n".encode(),
                )
            )
        case "/metrics":
            return 200, CONTENT_TYPE_LATEST, generate_latest(REGISTRY)
        case "/status":
            return 200, "application/json", json.dumps(health.status()).encode()
        case _:
            return 404, "text/plain", b"not found\n"
