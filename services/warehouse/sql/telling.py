"""What one run says of the rows of its model."""

from collections import Counter
from typing import Any

from services.warehouse.connecting import ChangeWriter
from services.warehouse.domain.change import Change, Note, Op, Reason
from services.warehouse.domain.model import Model
from services.warehouse.domain.sql.layout import Layout, Texts
from services.warehouse.domain.wire import Refused
from services.warehouse.sql.progress import Progress

MOST_LETTERS = 50
"""Of a run: a hundred in a row would block the source, and those under one percent must not."""


class Teller:
    """All that it puts has the run's number as its position."""

    def __init__(
        self, model: Model, layout: Layout, progress: Progress, writer: ChangeWriter, *, again: bool
    ) -> None:
        self._model = model
        self._layout = layout
        self._progress = progress
        self._writer = writer
        self._again = again
        self._letters = 0

    def present(self, texts: Texts) -> None:
        """A row as it is now."""
        notes: Counter[Note] = Counter()
        values = self._layout.values(texts, notes)
        key = {name: values[name] for name in self._layout.key}
        op: Op = "upsert" if self._progress.complete else "read"
        self._put(op, key=key, after=values, notes=notes, again=self._again)

    def gone(self, key_digest: bytes) -> None:
        """A row that is there no more."""
        self._put("delete", key_digest=key_digest)

    def refuse(self, reason: Reason, key: Texts) -> None:
        """A row that cannot be taken; the first of a run are told."""
        self._letters += 1
        if self._letters <= MOST_LETTERS:
            row = self._layout.values(key, Counter())
            missing = next((name for name, value in row.items() if value is None), None)
            self._writer.put(
                Refused(self._model.origin, reason, missing, self._progress.told_at, row)
            )

    def end(self) -> None:
        """Every row was told: those of an older epoch that were not are gone."""
        self._put("read", snapshot="end")

    async def acknowledged(self) -> None:
        """Wait until the broker has all of it."""
        await self._writer.acknowledged()

    def _put(self, op: Op, **more: Any) -> None:
        progress = self._progress
        told = Change(
            source=self._model.source,
            relation=self._model.origin,
            op=op,
            epoch=progress.epoch,
            position=f"{progress.run:020d}",
            committed_at=progress.told_at,
            read_at=progress.told_at,
            schema_fingerprint=self._layout.fingerprint,
            unmodelled=self._layout.unmodelled,
            **({"snapshot": "none" if progress.complete else "read"} | more),
        )
        self._writer.put(told)
