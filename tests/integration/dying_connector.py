"""A connector in a process of its own that is killed at its n-th await.

The process is forked from one that has everything imported, so that a death costs little. It is
ended by SIGKILL: nothing is tidied up, and what the broker was not sent yet is lost.

An await counts twice: when the connector begins to wait, and when it has its answer.
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import coroutine
from typing import Any

import asyncpg
import msgspec

from services.warehouse.domain.model import Model
from services.warehouse.domain.source import SOURCES
from tests.integration.customer_database import Source

COUNT_BYTES = 8


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """Whom to run, and when to die."""

    environment: Mapping[str, str]
    kafka: str
    postgres: str
    source: Mapping[str, Any]
    models: Sequence[Mapping[str, Any]]
    at: int
    count: str
    """File that holds how far it came."""


class Killer:
    """The process that forks, and the deaths in it."""

    def __init__(self, process: asyncio.subprocess.Process, directory: Path, postgres: str) -> None:
        self._process = process
        self._count = directory / "count"
        self._postgres = postgres

    async def dies(self, source: Source, at: int) -> None:
        """Returns when it is dead."""
        await self._begin(source, at)
        await self._ended()

    async def counts(
        self, source: Source, until_done: Callable[[], Coroutine[Any, Any, None]]
    ) -> int:
        """The awaits until the work is done."""
        pid = await self._begin(source, sys.maxsize)
        await until_done()
        count = int.from_bytes(self._count.read_bytes(), "little")
        os.kill(pid, signal.SIGKILL)
        await self._ended()
        return count

    async def _begin(self, source: Source, at: int) -> int:
        order = Order(
            environment={name: os.environ[name] for name in os.environ if name.endswith("_DSN")},
            kafka=source.settings.kafka_bootstrap,
            postgres=self._postgres,
            source=source.source.model_dump(mode="json", exclude_unset=True),
            models=[model.model_dump(mode="json", exclude_unset=True) for model in source.models],
            at=at,
            count=str(self._count),
        )
        assert self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode(order) + b"\n")
        await self._process.stdin.drain()
        return await self._heard()

    async def _ended(self) -> None:
        assert await self._heard() == signal.SIGKILL, "it ended by itself: see its output"

    async def _heard(self) -> int:
        assert self._process.stdout is not None
        return int(await asyncio.wait_for(self._process.stdout.readline(), 60))


@asynccontextmanager
async def killer(directory: Path, postgres: str) -> AsyncIterator[Killer]:
    """`postgres`: our own, for checkpoints."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.integration.dying_connector"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield Killer(process, directory, postgres)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()


def main() -> None:
    """Line by line: an order in; the number of the process out, then the signal that ended it."""
    for line in sys.stdin.buffer:
        order = msgspec.json.decode(line, type=Order)
        child = os.fork()
        if child == 0:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            _work(order)
        _say(child)
        _, status = os.waitpid(child, 0)
        _say(os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0)


def _say(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


def _work(order: Order) -> None:
    """Never returns."""
    os.environ.update(order.environment)
    try:
        asyncio.run(_connect(order))
    finally:
        os._exit(1)


async def _connect(order: Order) -> None:
    source = Source(
        order.kafka,
        await asyncpg.create_pool(order.postgres, min_size=1, max_size=4),
        SOURCES[order.source["type"]].model_validate(order.source),
        [Model.model_validate(model) for model in order.models],
    )
    count = os.open(order.count, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    awaits = 0

    def tick() -> None:
        nonlocal awaits
        awaits += 1
        os.pwrite(count, awaits.to_bytes(COUNT_BYTES, "little"), 0)
        if awaits >= order.at:
            os.kill(os.getpid(), signal.SIGKILL)

    await _ticking(source.connector().run(), tick)


@coroutine
def _ticking(
    work: Coroutine[Any, Any, None], tick: Callable[[], None]
) -> Generator[Any, Any, None]:
    """Drive it as its task would, and tick around every wait."""
    answer: Any = None
    error: BaseException | None = None
    while True:
        try:
            waited_for = work.send(answer) if error is None else work.throw(error)
        except StopIteration:
            return
        tick()
        answer, error = None, None
        try:
            answer = yield waited_for
        except BaseException as raised:
            error = raised
        tick()


if __name__ == "__main__":
    main()
