"""Calls of libraries that block, each in a thread."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

CANCEL_S = 5.0
"""For the call that a stop meets."""


async def in_thread(call: Callable[[], T]) -> T:
    """One that is cancelled is waited for, for a while: two at once a session does not bear."""
    future = asyncio.ensure_future(asyncio.to_thread(call))
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        await asyncio.wait([future], timeout=CANCEL_S)
        if future.done():
            future.exception()
        raise
