"""Writes requests to a file instead of sending them; every one of them is taken as arrived."""

import asyncio
import json
from pathlib import Path

from services.activator.domain.outcomes import Failure, Outcome, Response
from services.activator.domain.platform import DestinationSettings
from services.activator.domain.requests import Request
from services.activator.domain.showing import shown_headers, shown_url


class DryRun:
    """One line of JSON a request, without what would let anybody send it."""

    def __init__(self, path: Path, settings: DestinationSettings) -> None:
        self._path = path
        self._settings = settings

    async def close(self) -> None:
        """Nothing is held open."""

    async def send(self, request: Request) -> Response | Failure:
        """Written to the disk."""
        line = {
            "method": request.method,
            "url": shown_url(request, self._settings).partition("?")[0],
            "headers": shown_headers(request),
            "body": request.content.decode(errors="replace"),
        }
        await asyncio.to_thread(self._write, json.dumps(line, ensure_ascii=False) + "\n")
        return Failure(Outcome.DELIVERED, "dry_run")

    def _write(self, line: str) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(line)
