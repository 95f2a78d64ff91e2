"""Heavy requests are judged aside, and no more of them than can be in time (contract §1)."""

import asyncio
import threading

import pytest

from services.ingest.judges import Judges
from services.ingest.sender import Unavailable


async def test_rule_11_the_loop_goes_on_while_a_heavy_request_is_judged() -> None:
    judges, released = Judges(), threading.Event()
    waiting = asyncio.create_task(judges.run(released.wait))
    await asyncio.sleep(0)
    assert not waiting.done()
    released.set()
    assert await waiting is True


async def test_rule_11_who_would_wait_too_long_is_told_to_come_again() -> None:
    judges, released = Judges(longest_queue=2), threading.Event()
    waiting = [asyncio.create_task(judges.run(released.wait)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable, match="judges"):
        await judges.run(released.wait)
    released.set()
    assert await asyncio.gather(*waiting) == [True, True]
    assert await judges.run(released.wait) is True
