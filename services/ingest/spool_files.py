"""The spool on disk: segment files of frames, appended and synced, read in order, deleted.

Everything here blocks and belongs in a thread; one lock keeps the writer, the reader and an erasure
apart. A segment is deleted once all of it has been forgotten, so what was drained does not stay.
"""

import fcntl
import os
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

from services.ingest import disk
from services.ingest.domain.frames import frame, written_at
from services.ingest.segment import NOWHERE, SUFFIX, Position, Segment, found

log = structlog.get_logger()

SEGMENT_BYTES = 8 * 1024 * 1024
ERASED = b"\0"
"""First byte of a body that was erased; no other body starts with it."""
_MARK = struct.Struct(">QQ")


class SpoolRefused(OSError):
    """The spool cannot be used; the sentence says what to do."""


class SpoolFiles:
    """A first-in, first-out queue of byte strings that survives everything but its disk.

    Raises:
        SpoolRefused: the directory is another process's, or cannot be written.
    """

    def __init__(self, directory: Path, *, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._directory = directory
        self._segment_bytes = segment_bytes
        self._lock = threading.Lock()
        self._owner = _own(directory)
        self._segments = deque(found(directory))
        self._tail: int | None = None
        self._head = self._marked()
        self.bytes = sum(segment.size for segment in self._segments) - self._head.end
        self.records = sum(len(one.frames()) for one in self._segments) - self._drained()
        self.oldest_at: int | None = None
        """When the first frame was written, in milliseconds; None when there is none."""
        self._move_on()

    def append(self, bodies: Sequence[bytes], at: int) -> list[Position]:
        """Write all of them; when this returns they are on the disk.

        Raises:
            OSError: none of them may be relied upon.
        """
        with self._lock:
            descriptor = self._writable()
            segment = self._segments[-1]
            written = [frame(body, at) for body in bodies]
            try:
                disk.write(descriptor, b"".join(written))
            except OSError:
                self._abandon(segment)
                raise
            self.bytes += sum(map(len, written))
            self.records += len(written)
            self.oldest_at = self.oldest_at or at
            return segment.grow(written)

    def read(self) -> list[tuple[Position, bytes]]:
        """The first frames that are not forgotten, with their positions."""
        with self._lock:
            self._move_on()
            if not self._segments:
                return []
            return list(self._segments[0].chunk(self._head.end))

    def forget(self, through: Position, records: int) -> None:
        """So many frames, up to here, are elsewhere; a segment without others is deleted."""
        with self._lock:
            self.records -= records
            self.bytes -= through.end - self._head.end
            self._head = through
            self._move_on()

    def erase(self, matches: Callable[[bytes], bool]) -> int:
        """Blank every body that matches; positions stay as they are."""
        with self._lock:
            return sum(self._erase_in(segment, matches) for segment in self._segments)

    def close(self) -> None:
        """Give the directory back."""
        with self._lock:
            self._seal()
            os.close(self._owner)

    def _marked(self) -> Position:
        """Up to where the first segment was drained, if that was noted."""
        if not self._segments:
            return NOWHERE
        try:
            marked = Position(*_MARK.unpack((self._directory / "drained").read_bytes()))
        except (OSError, struct.error):
            marked = NOWHERE
        first = self._segments[0]
        is_of_first = marked.segment == first.number and marked.end <= first.size
        return marked if is_of_first else Position(first.number, 0)

    def _drained(self) -> int:
        first = self._segments[0].frames() if self._segments else []
        return sum(one.end <= self._head.end for one in first)

    def _move_on(self) -> None:
        """Delete what was read to its end, or note how far the first segment was read.

        The note is not synced: after a power cut a little is drained once more, and identity
        knows it already.
        """
        while self._segments and self._head.end >= self._segments[0].size:
            self._delete_first()
        if not self._segments:
            self.oldest_at = None
            return
        (self._directory / "drained").write_bytes(_MARK.pack(*self._head))
        self.oldest_at = written_at(self._segments[0].read(self._head.end, 100))

    def _delete_first(self) -> None:
        if len(self._segments) == 1:
            self._seal()
        self._segments.popleft().path.unlink()
        self._head = Position(self._segments[0].number, 0) if self._segments else NOWHERE

    def _writable(self) -> int:
        if self._tail is not None and self._segments[-1].size >= self._segment_bytes:
            self._seal()
        if self._tail is None:
            self._tail = self._begin()
        return self._tail

    def _begin(self) -> int:
        last = self._segments[-1].number if self._segments else 0
        # Of the clock, so that no number comes again: the note of an old one might be left.
        number = max(last + 1, time.time_ns())
        segment = Segment(self._directory / f"{number:020}{SUFFIX}")
        descriptor = disk.create(segment.path)
        self._segments.append(segment)
        if len(self._segments) == 1:
            self._head = Position(number, 0)
        return descriptor

    def _seal(self) -> None:
        if self._tail is not None:
            os.close(self._tail)
            self._tail = None

    def _abandon(self, segment: Segment) -> None:
        """A failed write leaves nobody knows what behind: never append to it again."""
        self._seal()
        try:
            os.truncate(segment.path, segment.size)
            if segment.size == 0:
                self._segments.pop()
                segment.path.unlink()
        except OSError as error:
            log.error("a spool segment keeps a torn end", error=type(error).__name__)

    def _erase_in(self, segment: Segment, matches: Callable[[bytes], bool]) -> int:
        data = bytearray(segment.read(0, segment.size))
        matching = [one for one in segment.frames() if one.body[:1] != ERASED and matches(one.body)]
        for one in matching:
            blank = frame(ERASED * len(one.body), one.at)
            data[one.end - len(blank) : one.end] = blank
        if matching:
            if segment is self._segments[-1]:
                self._seal()
            disk.replace(segment.path, data)
        return len(matching)


def _own(directory: Path) -> int:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        owner = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise SpoolRefused(
            f"another process uses the spool {directory}; give each its own AFFLUX_WORKER"
        ) from error
    except OSError as error:
        raise SpoolRefused(
            f"the spool {directory} cannot be written: {error.strerror};"
            " set AFFLUX_INGEST_SPOOL_DIR to a directory that can"
        ) from error
    return owner
