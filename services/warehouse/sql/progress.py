"""Where one model stands."""

from typing import Literal

import msgspec

from services.warehouse.checkpoints import Checkpoints
from services.warehouse.connecting import next_epoch
from services.warehouse.domain.model import Model
from services.warehouse.domain.sql.layout import mapping_of

Work = Literal["compare", "follow"]
"""Compare everything, or read what is stamped later than what was read."""


class Progress(msgspec.Struct):
    """Kept sealed."""

    generation: int
    epoch: int
    mapping: bytes
    """Under which the digests that are kept were made."""
    run: int = 0
    """Number of the run under way or last begun: the position of all that it tells."""
    complete: bool = False
    """Whether every row was told once."""
    ran_at: int = 0
    """End of the last run by our clock, Unix milliseconds."""
    compared_at: int = 0
    """The same of the last comparison."""
    told_at: int = 0
    """The server's clock at the last run; what is told never goes back in time."""
    last: str | None = None
    """Text of the newest stamp that was read."""


class Progresses:
    """Those of one source, by model."""

    def __init__(self, checkpoints: Checkpoints) -> None:
        self._checkpoints = checkpoints

    async def load(self, model: Model) -> Progress | None:
        body = await self._checkpoints.load(_name(model))
        return None if body is None else msgspec.msgpack.decode(body, type=Progress)

    async def save(self, model: Model, progress: Progress) -> None:
        """Durable when it returns."""
        await self._checkpoints.save(_name(model), msgspec.msgpack.encode(progress))


def fresh(model: Model, generation: int, before: Progress | None) -> Progress:
    """Of a model of which nothing was told yet in this generation."""
    epoch = next_epoch(before.epoch if before else 0)
    run = before.run if before else 0
    return Progress(generation, epoch, mapping_of(model), run)


def is_fresh(model: Model, progress: Progress) -> bool:
    """Whether the digests that are kept are those of the model as it is."""
    return progress.complete and progress.mapping == mapping_of(model)


def due(model: Model, progress: Progress) -> tuple[int, Work]:
    """When what must be done next, Unix milliseconds by our clock."""
    if not is_fresh(model, progress):
        return 0, "compare"
    at = progress.ran_at + model.every
    if model.updated_at is None:
        return at, "compare"
    compare_at = progress.compared_at + model.diff_every
    if model.deletes == "diff" and compare_at <= at:
        return compare_at, "compare"
    return at, "follow"


def _name(model: Model) -> str:
    return f"model:{model.id}"
