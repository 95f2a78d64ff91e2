"""Segments: the files that the spool consists of, one after the other."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import structlog

from services.ingest.domain.frames import Frame, frames

log = structlog.get_logger()

CHUNK_BYTES = 256 * 1024
"""Read at once; a crash between the log and the note of it drains as much once more."""
FRAME_BYTES = 2 * 1024 * 1024
"""More than any one frame: the broker takes no record above 1 MB."""
SUFFIX = ".spool"


class Position(NamedTuple):
    """The end of a frame; positions follow each other as the frames do."""

    segment: int
    end: int


NOWHERE = Position(0, 0)


@dataclass(slots=True)
class Segment:
    """One file; what lies behind `size` was never acknowledged."""

    path: Path
    size: int = 0

    @property
    def number(self) -> int:
        return int(self.path.stem)

    def read(self, start: int, limit: int) -> bytes:
        with self.path.open("rb") as file:
            file.seek(start)
            return file.read(min(limit, self.size - start))

    def frames(self) -> list[Frame]:
        return list(frames(self.read(0, self.size)))

    def chunk(self, start: int) -> Iterator[tuple[Position, bytes]]:
        """At least one frame, and about `CHUNK_BYTES` of them."""
        for one in frames(self.read(start, CHUNK_BYTES + FRAME_BYTES)):
            yield Position(self.number, start + one.end), one.body
            if one.end >= CHUNK_BYTES:
                return

    def grow(self, written: Sequence[bytes]) -> list[Position]:
        """Where the frames ended that were appended."""
        positions = []
        for one in written:
            self.size += len(one)
            positions.append(Position(self.number, self.size))
        return positions


def found(directory: Path) -> list[Segment]:
    """What earlier processes left, without the torn ends."""
    segments = [Segment(path) for path in sorted(directory.glob(f"*{SUFFIX}"))]
    for segment in segments:
        _recover(segment, is_last=segment is segments[-1])
    return segments


def _recover(segment: Segment, *, is_last: bool) -> None:
    """Cut off a torn end. Nobody was told that it is stored, unless the disk lost it later."""
    data = segment.path.read_bytes()
    whole = list(frames(data))
    segment.size = whole[-1].end if whole else 0
    torn = data[segment.size :]
    if torn and not is_last:
        segment.path.with_suffix(".damaged").write_bytes(torn)
        log.error("a spool segment was damaged", segment=segment.number, bytes=len(torn))
    if torn:
        os.truncate(segment.path, segment.size)
