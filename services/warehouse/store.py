"""The rows of one partition in the state of the exact loop."""

from collections.abc import Iterator

from services.runtime.stage import State
from services.warehouse.domain.rows import (
    GRAVE_MS,
    Known,
    Progress,
    decode_known,
    decode_progress,
    encode,
)

_PROGRESS = b"p"
_ROW, _GRAVE = b"r", b"g"
_SWEPT_AT_ONCE = 200


class Rows:
    """Keyed by model and key digest; nothing of a row itself is in here."""

    def __init__(self, state: State) -> None:
        self._state = state

    def progress(self, relation: str) -> Progress:
        return decode_progress(self._state.get(_PROGRESS + relation.encode()))

    def save_progress(self, relation: str, progress: Progress) -> None:
        self._state.put(_PROGRESS + relation.encode(), encode(progress))

    def get(self, model: str, key: bytes) -> Known | None:
        return decode_known(self._state.get(_row(model) + key))

    def put(self, model: str, key: bytes, known: Known) -> None:
        self._state.put(_row(model) + key, encode(known))

    def bury(self, model: str, key: bytes, known: Known, now: int) -> None:
        """Keep the position of a deleted row until `sweep` finds it old."""
        self.put(model, key, known)
        self._state.put(_GRAVE + now.to_bytes(8, "big") + _row(model) + key, encode(known))

    def all(self, model: str) -> Iterator[tuple[bytes, Known]]:
        """The rows that are there, with their key digests."""
        prefix = _row(model)
        for key, value in self._state.scan(prefix):
            known = decode_known(value)
            if known is not None and known.digest is not None:
                yield key[len(prefix) :], known

    def sweep(self, now: int) -> None:
        """Forget some of the rows that were deleted a week ago, unless they came back."""
        for count, (grave, buried) in enumerate(self._state.scan(_GRAVE)):
            if int.from_bytes(grave[1:9], "big") > now - GRAVE_MS or count == _SWEPT_AT_ONCE:
                return
            if self._state.get(grave[9:]) == buried:
                self._state.delete(grave[9:])
            self._state.delete(grave)


def _row(model: str) -> bytes:
    return _ROW + model.encode() + b"\0"
