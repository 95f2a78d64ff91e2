"""Writes files that are never seen half: under a hidden name first, then renamed."""

import asyncio
import gzip
import os
from pathlib import Path

from services.activator.domain.outcomes import Failure, Outcome, Response
from services.activator.domain.requests import Request


class FileSink:
    """A file that is there already, under the same name, holds the same changes."""

    async def close(self) -> None:
        """Nothing is held open."""

    async def send(self, request: Request) -> Response | Failure:
        """The file, synced to the disk."""
        try:
            await asyncio.to_thread(_write, Path(request.url), request.content)
        except OSError:
            return Failure(Outcome.RETRY, "disk_error")
        return Response(200, {})


def _write(path: Path, content: bytes) -> None:
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    hidden = path.with_name(f".{path.name}")
    with hidden.open("wb") as file:
        file.write(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)
        file.flush()
        os.fsync(file.fileno())
    hidden.rename(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
