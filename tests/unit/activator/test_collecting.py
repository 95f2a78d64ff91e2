"""Records are collected into batches, whatever the length of the runs that they come in."""

import asyncio
from collections.abc import AsyncIterator, Sequence

from services.activator.collecting import Taking, collected

Runs = Sequence[Sequence[int]]


async def runs_of(runs: Runs, *, then: asyncio.Event | None = None) -> AsyncIterator[Sequence[int]]:
    """The runs, and no end of them before `then`."""
    for run in runs:
        yield run
    if then is not None:
        await then.wait()


async def test_no_batch_is_longer_than_what_is_taken_at_once_and_the_order_stays() -> None:
    never = asyncio.Event()
    batches = collected(runs_of([[1, 2, 3, 4, 5], [6], [7, 8, 9]], then=never), Taking(2, 0.01))
    found = [list(await anext(batches)) for _ in range(5)]
    await batches.aclose()
    assert found == [[1, 2], [3, 4], [5, 6], [7, 8], [9]]


async def test_s7_what_a_moment_has_brought_goes_out_though_it_fills_no_batch() -> None:
    never = asyncio.Event()
    batches = collected(runs_of([[1, 2, 3]], then=never), Taking(100, 0.01))
    assert list(await anext(batches)) == [1, 2, 3]
    await batches.aclose()


async def test_the_next_run_is_waited_for_while_a_batch_is_handled() -> None:
    asked = asyncio.Event()

    async def runs() -> AsyncIterator[Sequence[int]]:
        yield [1]
        asked.set()
        yield [2]

    batches = collected(runs(), Taking(1, 1.0))
    assert list(await anext(batches)) == [1]
    await asyncio.wait_for(asked.wait(), 10)
    assert list(await anext(batches)) == [2]
    await batches.aclose()


async def test_records_that_were_held_when_the_runs_ended_are_left_to_be_read_again() -> None:
    assert [b async for b in collected(runs_of([[1, 2], [3]]), Taking(2, 60.0))] == [[1, 2]]
