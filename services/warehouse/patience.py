"""Looks at a source again and again; one that is away is tried again, with patience."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from services.warehouse.postgres.trouble import Trouble
from services.warehouse.standing import Standing

log = structlog.get_logger()


class SourceAway(OSError):
    """The source refuses or is not there; trying again may help."""

    def __init__(self, sentence: str, sqlstate: str | None = None) -> None:
        super().__init__(sentence)
        self.sqlstate = sqlstate
        """As PostgreSQL would call it, for whoever counts how long that goes on."""


async def look_for_ever(
    look: Callable[[], Awaitable[None]],
    *,
    every_s: float,
    what: str,
    standing: Standing,
) -> None:
    """Until it is cancelled; `what` is there again when `look` no longer says `SourceAway`.

    Raises:
        Blocked: a person must decide; access that is denied is waited for a quarter of an hour.
    """
    trouble = Trouble()
    while True:
        try:
            await look()
            trouble.over()
            wait = every_s
        except SourceAway as error:
            wait = trouble.met(error)
            standing.state, standing.reason = "waiting", f"{what} is away: {error}"
            log.warning(f"{what} is away", error=str(error), retry_in_s=wait)
        await asyncio.sleep(wait)
