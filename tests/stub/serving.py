"""The stub in a thread of its own, for tests and programs that wait for other processes."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.stub.server import Stub, running


@dataclass
class _Thread:
    """Serves until it is told to end."""

    stub: Stub | None = None
    is_up: threading.Event = field(default_factory=threading.Event)
    end: asyncio.Event | None = None
    loop: asyncio.AbstractEventLoop | None = None

    def run(self) -> None:
        with asyncio.Runner() as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self.loop, self.end = asyncio.get_running_loop(), asyncio.Event()
        async with running() as self.stub:
            self.is_up.set()
            await self.end.wait()

    def stop(self) -> None:
        assert self.loop is not None
        assert self.end is not None
        self.loop.call_soon_threadsafe(self.end.set)


@contextmanager
def serving() -> Iterator[Stub]:
    """The stub on a port of its own. What it keeps may be read from any thread: copy it first."""
    served = _Thread()
    thread = threading.Thread(target=served.run, name="stub", daemon=True)
    thread.start()
    served.is_up.wait()
    assert served.stub is not None
    try:
        yield served.stub
    finally:
        served.stop()
        thread.join()
