"""The way from the spool to the log: in order, and each record once.

What was on its way to the broker when it fell silent is in the spool too. Its acknowledgement may
come late, and then it is not sent again.
"""

from collections.abc import Callable, Iterable, Sequence

from services.ingest.outgoing import Commit, Entry
from services.ingest.spool import Spool, Spooled


class Drain:
    """Sends what the spool holds, a few records at a time."""

    def __init__(self, spool: Spool, send: Callable[[Sequence[Entry]], None]) -> None:
        self._spool = spool
        self._send = send
        self._late: list[Entry] = []
        """In the spool or on their way there, and handed to a producer as well."""

    def also_sent(self, entries: Iterable[Entry]) -> None:
        """These may yet be acknowledged."""
        self._late += entries

    async def some(self) -> None:
        """Return when the first records are in the log and out of the spool."""
        records = await self._spool.read()
        stored = {entry.position for entry in self._late if entry.is_stored}
        await self._store([one for one in records if one.position not in stored])
        await self._spool.forget(records)
        through = records[-1].position
        self._late = [one for one in self._late if one.position and one.position > through]

    async def _store(self, records: Sequence[Spooled]) -> None:
        found = [(one.outgoing, one.position) for one in records if one.outgoing is not None]
        if not found:
            return
        commit = Commit(len(found))
        entries = [Entry(outgoing, commit, position) for outgoing, position in found]
        self._late += entries
        self._send(entries)
        await commit.done
