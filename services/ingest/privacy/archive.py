"""Takes erased people out of the dead letters, whoever wrote them and whenever they come."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from uuid import uuid4

from schemas.records import DeadLetter
from services.ingest.domain.traces import traces
from services.ingest.privacy.letters import Letters, Rewrite
from services.ingest.privacy.progress import Progress
from services.ingest.privacy.regulations import Regulations


@dataclass(frozen=True, slots=True)
class Erased:
    """Digests of what names people who were erased; each with the last instant that is theirs."""

    everywhere: Mapping[bytes, int]
    at_source: Mapping[tuple[str, bytes], int]

    @property
    def is_empty(self) -> bool:
        return not self.everywhere and not self.at_source

    def names(self, letter: DeadLetter) -> bool:
        """Whether one of them is in the letter."""
        source = letter.source_id or ""
        for text in traces(letter.raw):
            digest = _digest(text)
            until = max(self.everywhere.get(digest, -1), self.at_source.get((source, digest), -1))
            if letter.received_at <= until:
                return True
        return False


class Archive:
    """The dead letters."""

    def __init__(
        self, pool: Any, letters: Letters, regulations: Regulations, progress: Progress
    ) -> None:
        self._pool = pool
        self._letters = letters
        self._regulations = regulations
        self._progress = progress

    async def clean(self, *, anew: bool) -> None:
        """Look at the letters that came since the last time, or `anew` at all of them."""
        erased = await self._erased()
        begun = "select partition, until_offset, mark from privacy.rewrites"
        for row in await self._pool.fetch(begun):
            await self._carry_out(Rewrite(*row), erased)
        if erased.is_empty:
            return
        if anew:
            self._letters.look_again()
        found = await asyncio.to_thread(self._letters.found, erased.names, str(uuid4()))
        for rewrite in found:
            await self._pool.execute(
                "insert into privacy.rewrites (partition, until_offset, mark) values ($1, $2, $3)",
                *(rewrite.partition, rewrite.until, rewrite.mark),
            )
            await self._carry_out(rewrite, erased)

    async def _carry_out(self, rewrite: Rewrite, erased: Erased) -> None:
        await asyncio.to_thread(self._letters.rewrite, rewrite, erased.names)
        await self._pool.execute(
            "delete from privacy.rewrites where partition = $1", rewrite.partition
        )

    async def _erased(self) -> Erased:
        everywhere = dict(await self._progress.erased())
        at_source: dict[tuple[str, bytes], int] = {}
        for regulation in await self._regulations.erasing():
            until = regulation.erases_until or 0
            for digest in map(_digest, regulation.subjects):
                if regulation.effect.erases == "archive":
                    at_source[regulation.source_id or "", digest] = until
                else:
                    everywhere[digest] = max(until, everywhere.get(digest, 0))
        return Erased(everywhere, at_source)


def _digest(text: str) -> bytes:
    return sha256(text.encode("utf-8", "replace")).digest()
