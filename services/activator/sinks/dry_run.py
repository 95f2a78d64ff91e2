"""Writes requests to a file instead of sending them; every one of them is taken as arrived."""

import asyncio
import json
from pathlib import Path

from services.activator.domain.outcomes import Failure, Outcome, Response
from services.activator.domain.requests import Request

SECRET = ("authorization", "token", "key", "signature")


class DryRun:
    """One line of JSON a request, without what would let anybody send it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def close(self) -> None:
        """Nothing is held open."""

    async def send(self, request: Request) -> Response | Failure:
        """Written to the disk."""
        line = {
            "method": request.method,
            "url": request.url.partition("?")[0],
            "headers": {name: _hidden(name, text) for name, text in request.headers.items()},
            "body": request.content.decode(errors="replace"),
        }
        await asyncio.to_thread(self._write, json.dumps(line, ensure_ascii=False) + "\n")
        return Failure(Outcome.DELIVERED, "dry_run")

    def _write(self, line: str) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(line)


def _hidden(name: str, text: str) -> str:
    return "…" if any(part in name.lower() for part in SECRET) else text
