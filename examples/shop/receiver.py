"""Plays the advertising platform: checks signatures and keeps the audiences that it is told."""

import base64
import hashlib
import hmac
import json
import threading
import time
from dataclasses import dataclass
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Key = tuple[str, str]
"""Audience and profile."""


@dataclass(frozen=True, slots=True)
class Call:
    """One webhook call that was right."""

    audience_id: str
    profile_id: str
    member: bool
    version: int
    occurred_at: int
    arrived_at: int
    """Unix milliseconds, like `occurred_at`."""
    cause: str
    names: frozenset[str]
    """Anonymous ids and user ids of the profile."""


class Receiver:
    """Listens on a free port of the loopback; `calls` grows as calls arrive."""

    def __init__(self, secret: str) -> None:
        self._key = base64.b64decode(secret.removeprefix("whsec_"))
        self._lock = threading.Lock()
        self._ids: set[str] = set()
        self.calls: list[Call] = []
        self.refused = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/ads"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def take(self, headers: Any, body: bytes) -> int:
        """The status to answer; a repeated id is acknowledged and not taken twice."""
        message_id, timestamp = headers["webhook-id"], headers["webhook-timestamp"]
        signed = f"{message_id}.{timestamp}.".encode() + body
        due = base64.b64encode(hmac.new(self._key, signed, hashlib.sha256).digest()).decode()
        if not hmac.compare_digest(f"v1,{due}", headers["webhook-signature"] or ""):
            self.refused += 1
            return 401
        with self._lock:
            if message_id not in self._ids:
                self._ids.add(message_id)
                self.calls.append(_call(json.loads(body)))
        return 204

    def audiences(self, until: int) -> dict[Key, Call]:
        """What was true at an instant, as far as told: the newest call of each pair by then."""
        newest: dict[Key, Call] = {}
        for call in list(self.calls):
            key = (call.audience_id, call.profile_id)
            known = newest.get(key)
            if call.occurred_at <= until and (known is None or call.version > known.version):
                newest[key] = call
        return {key: call for key, call in newest.items() if call.member}


def _call(message: dict[str, Any]) -> Call:
    data = message["data"]
    vendor = data["identifiers"].get("vendor", {})
    names = (vendor.get("anonymous_id", ()), vendor.get("user_id", ()))
    return Call(
        audience_id=data["audience_id"],
        profile_id=data["profile_id"],
        member=message["type"] == "audience.member_added",
        version=data["version"],
        occurred_at=round(datetime.fromisoformat(data["occurred_at"]).timestamp() * 1000),
        arrived_at=round(time.time() * 1000),
        cause=data["cause"],
        names=frozenset(
            n for value in names for n in ([value] if value.__class__ is str else value)
        ),
    )


def _handler(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(receiver.take(self.headers, body))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """The screen shows the calls."""

    return Handler
