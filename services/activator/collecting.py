"""How many records a sender takes at once: what fills its requests, or what a moment brings."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from services.activator.instance import PORTION_S, Instance
from services.activator.settings import ActivatorSettings

R = TypeVar("R")

BATCH_LINGER_S = 1.0
PORTIONS = 3
"""One at the platform, one that is being claimed, one that is being written down."""


@dataclass(frozen=True, slots=True)
class Taking:
    """How much is taken from the topic at once."""

    most: int
    within_s: float


def taking(instance: Instance, settings: ActivatorSettings) -> Taking:
    """As much as the platform takes in a few seconds, as far as a moment brings it; of a moment's
    worth where each change is a request."""
    alone = instance.most_at_once == 1
    within_s = settings.sender_linger_ms / 1000 if alone else BATCH_LINGER_S
    if instance.linger is not None:
        within_s = instance.linger.total_seconds()
    most = min(settings.sender_batch, instance.granted_in(PORTIONS * PORTION_S))
    return Taking(most, within_s)


async def collected(
    runs: AsyncIterator[Sequence[R]], taking: Taking
) -> AsyncGenerator[Sequence[R]]:
    """Batches of the records of the runs, in their order, none longer than is taken at once and
    none kept for longer than a batch is collected.

    The next run is waited for while a batch is handled. When the runs end, so do the batches:
    what was held is for a successor to read again.
    """
    loop, held = asyncio.get_running_loop(), list[R]()
    coming = asyncio.ensure_future(anext(runs, None))
    try:
        while True:
            until = loop.time() + taking.within_s if held else None
            while len(held) < taking.most:
                left = None if until is None else max(0.0, until - loop.time())
                if not (await asyncio.wait([coming], timeout=left))[0]:
                    break
                if (run := coming.result()) is None:
                    return
                held += run
                coming = asyncio.ensure_future(anext(runs, None))
                until = until or loop.time() + taking.within_s
            yield held[: taking.most]
            del held[: taking.most]
    finally:
        coming.cancel()
