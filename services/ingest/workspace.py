"""The workspace in force, or as it was last known while the broker cannot be reached."""

import asyncio
from collections.abc import Iterable
from types import MappingProxyType

from schemas.codec import Undecodable, decode_as, encode
from schemas.records import Definition
from services.ingest.last_known import LastKnown
from services.runtime.definitions import Definitions, Snapshot

Records = list[bytes]
"""As in the log: write keys are references in them, as the workspace has them."""
SAVE_S = 1.0


class Workspace:
    """Follows the log of definitions and keeps what it says on disk."""

    def __init__(self, definitions: Definitions, kept: LastKnown[Records] | None = None) -> None:
        self._definitions = definitions
        self._kept = kept
        self._last: Snapshot | None = None
        self._saved: Snapshot | None = None

    @property
    def is_confirmed(self) -> bool:
        """The log was read to its end; until then there may be definitions that are not known."""
        return self._definitions.loaded.is_set()

    def current(self) -> Snapshot | None:
        """A new object after each change; None while nothing is known."""
        return self._definitions.current() if self.is_confirmed else self._last

    def load(self) -> None:
        """Know what was known last; blocks."""
        records = None if self._kept is None else self._kept.load()
        if records is not None:
            self._last = _snapshot(records)

    async def keep(self) -> None:
        """Save every change until cancelled."""
        while True:
            await self.save()
            await asyncio.sleep(SAVE_S)

    async def save(self) -> None:
        """Keep the definitions, unless these are kept already or the log was not read yet."""
        current = self._definitions.current()
        if self._kept is None or not self.is_confirmed or current is self._saved:
            return
        await asyncio.to_thread(self._kept.save, [encode(one) for one in current.values()])
        self._saved = current


def _snapshot(records: Iterable[bytes]) -> Snapshot:
    definitions = [one for one in map(_definition, records) if one is not None]
    return MappingProxyType({(one.kind, one.id): one for one in definitions})


def _definition(record: bytes) -> Definition | None:
    try:
        return decode_as(Definition, record)
    except Undecodable:
        return None
