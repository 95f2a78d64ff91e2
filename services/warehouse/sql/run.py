"""What one run works with."""

from dataclasses import dataclass

from services.warehouse.domain.canonical import Digests
from services.warehouse.domain.model import Model
from services.warehouse.domain.sql.buckets import SHARED, Listed
from services.warehouse.domain.sql.layout import Layout, Texts
from services.warehouse.sql.engine import Session
from services.warehouse.sql.progress import Progress
from services.warehouse.sql.state import RowState
from services.warehouse.sql.telling import Teller


@dataclass(frozen=True, slots=True)
class Run:
    """Of one model, over one session."""

    model: Model
    progress: Progress
    layout: Layout
    session: Session
    state: RowState
    teller: Teller
    digests: Digests

    def listed(self, key: str, row: str | None, texts: Texts) -> Listed:
        """A row under its digests, from the hashes that the database tells."""
        hashed = self.layout.key_hash(key, texts)
        return (
            SHARED if hashed is None else self.digests.of_key(hashed),
            self.digests.of_row(self.layout.row_hash(row, texts)),
            texts,
        )
