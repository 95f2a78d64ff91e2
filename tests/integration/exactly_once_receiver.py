"""A receiver of webhooks that keeps every call, and answers some of them badly."""

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Pair = tuple[str, str]
"""Segment and profile."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call as it came."""

    webhook_id: str
    pair: Pair
    version: int
    member: bool
    occurred_at: int
    cause: str
    body: bytes


class Receiver:
    """Listens on a free port of the loopback until closed.

    It takes every `lose_every`th call and ends the connection without an answer: the sender cannot
    know, and has to call again.
    """

    def __init__(self, secret: str, *, lose_every: int) -> None:
        self._key = base64.b64decode(secret.removeprefix("whsec_"))
        self._lose_every = lose_every
        self._lock = threading.Lock()
        self.calls: list[Call] = []
        self.unsigned = 0
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/ads"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def members(self) -> set[Pair]:
        """Who is in which audience: what was said last, by version."""
        newest: dict[Pair, Call] = {}
        for call in list(self.calls):
            known = newest.get(call.pair)
            if known is None or call.version > known.version:
                newest[call.pair] = call
        return {pair for pair, call in newest.items() if call.member}

    def take(self, headers: Mapping[str, str], body: bytes) -> bool:
        """Keep the call; whether to answer it."""
        webhook_id = headers["webhook-id"]
        signed = f"{webhook_id}.{headers['webhook-timestamp']}.".encode() + body
        due = base64.b64encode(hmac.new(self._key, signed, hashlib.sha256).digest()).decode()
        with self._lock:
            self.unsigned += not hmac.compare_digest(f"v1,{due}", headers["webhook-signature"])
            self.calls.append(_call(webhook_id, body))
            return len(self.calls) % self._lose_every != 0


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A sender that is killed hangs up; everything else shows in what was told."""


def _call(webhook_id: str, body: bytes) -> Call:
    message: dict[str, Any] = json.loads(body)
    data = message["data"]
    return Call(
        webhook_id=webhook_id,
        pair=(data["audience_id"], data["profile_id"]),
        version=data["version"],
        member={"audience.member_added": True, "audience.member_removed": False}[message["type"]],
        occurred_at=round(datetime.fromisoformat(data["occurred_at"]).timestamp() * 1000),
        cause=data["cause"],
        body=body,
    )


def _handler(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if not receiver.take(dict(self.headers.items()), body):
                self.close_connection = True
                return
            self.send_response(204)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """The calls are kept."""

    return Handler
