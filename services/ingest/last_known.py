"""What the log said last, on this machine's disk, so that a process may start without the broker.

A file holds one value in MessagePack behind its form, its version and a digest. It is replaced as a
whole and synced; what is damaged or of another version counts as missing.
"""

from hashlib import blake2b
from pathlib import Path
from typing import Generic, TypeVar

import msgspec
import structlog

from services.ingest import disk

log = structlog.get_logger()

VERSION = 1
_DIGEST_BYTES = 32

T = TypeVar("T")


class LastKnown(Generic[T]):
    """One value of one type. Everything here blocks and belongs in a thread."""

    def __init__(self, path: Path, form: type[T]) -> None:
        self._path = path
        self._mark = f"afflux {path.stem} {VERSION}\n".encode()
        self._decoder = msgspec.msgpack.Decoder(form)

    def load(self) -> T | None:
        """What was saved last; None if there is nothing that can be relied upon."""
        try:
            return self._decoded(self._path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError) as error:
            log.error("what was known last is not used", file=self._path.name, error=str(error))
            return None

    def save(self, value: T) -> None:
        """Put it in the place of what was there; a failure is logged and leaves that."""
        body = msgspec.msgpack.encode(value)
        try:
            disk.replace(self._path, self._mark + _digest(body) + body)
        except OSError as error:
            log.error("what is known cannot be saved", file=self._path.name, error=error.strerror)

    def forget(self) -> None:
        """As if nothing had ever been saved."""
        self._path.unlink(missing_ok=True)

    def _decoded(self, data: bytes) -> T:
        body = data[len(self._mark) + _DIGEST_BYTES :]
        if data != self._mark + _digest(body) + body:
            raise msgspec.DecodeError("it is damaged, or of another version")
        return self._decoder.decode(body)


def _digest(body: bytes) -> bytes:
    return blake2b(body, digest_size=_DIGEST_BYTES).digest()
