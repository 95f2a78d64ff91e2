"""The spool as the event loop sees it: one sync for all who wait, and the truth when it fails."""

import asyncio
import errno
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from services.ingest import disk
from services.ingest.drain import Drain
from services.ingest.outgoing import Commit, Entry, Outgoing, Reason
from services.ingest.producer import Broker
from services.ingest.sender import Sender, Unavailable
from services.ingest.spool import GROUP, Spool
from services.ingest.spool_files import SpoolFiles

NOBODY = Broker("127.0.0.1:1", 1)


def record(number: int) -> Outgoing:
    return Outgoing("events", b"key", b"%d" % number, [("n", b"1")])


@asynccontextmanager
async def open_spool(directory: Path, limit: int = 10**7) -> AsyncIterator[Spool]:
    files = SpoolFiles(directory)
    spool = Spool(files, limit)
    writing = asyncio.create_task(spool.run())
    try:
        yield spool
    finally:
        writing.cancel()
        await asyncio.wait([writing])
        spool.close()


def put(spool: Spool, numbers: Sequence[int]) -> Commit:
    commit = Commit(len(numbers))
    spool.put([Entry(record(number), commit) for number in numbers])
    return commit


async def content(spool: Spool) -> list[int | None]:
    return [None if one.outgoing is None else int(one.outgoing.value) for one in await spool.read()]


async def test_12_all_who_wait_are_answered_by_one_sync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes: list[int] = []
    write = disk.write

    def counted(descriptor: int, data: bytes) -> None:
        writes.append(len(data))
        write(descriptor, data)

    monkeypatch.setattr(disk, "write", counted)
    async with open_spool(tmp_path) as spool:
        commits = [put(spool, [number]) for number in range(500)]
        assert [await commit.done for commit in commits] == [None] * 500
        assert len(writes) <= 3
        assert await content(spool) == list(range(500))


async def test_12_a_multitude_is_written_in_groups_and_in_order(tmp_path: Path) -> None:
    async with open_spool(tmp_path) as spool:
        assert await put(spool, range(3 * GROUP + 1)).done is None
        found: list[int | None] = []
        while records := await spool.read():
            found += [None if one.outgoing is None else int(one.outgoing.value) for one in records]
            await spool.forget(records)
        assert found == list(range(3 * GROUP + 1))
        assert spool.is_empty


async def test_12_what_the_broker_acknowledged_late_is_not_drained(tmp_path: Path) -> None:
    sent: list[Entry] = []

    def send(entries: Sequence[Entry]) -> None:
        sent.extend(entries)
        for entry in entries:
            entry.stored()

    async with open_spool(tmp_path) as spool:
        drain = Drain(spool, send)
        commit = Commit(4)
        entries = [Entry(record(number), commit) for number in range(4)]
        entries[0].stored()
        drain.also_sent(entries[:2])
        spool.put(entries)
        assert await commit.done is None
        entries[1].stored()
        await drain.some()
        assert [int(entry.outgoing.value) for entry in sent] == [2, 3]
        assert spool.is_empty


async def test_12_a_spool_that_cannot_be_written_says_so_and_recovers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_spool(tmp_path) as spool:
        with monkeypatch.context() as broken:

            def fail(descriptor: int, data: bytes) -> None:
                raise OSError(errno.EIO, "Input/output error")

            broken.setattr(disk, "write", fail)
            assert await put(spool, [1]).done == "spool"
            assert await put(spool, [1]).done == "spool"
        async with asyncio.timeout(10):
            while await put(spool, [2]).done is not None:  # noqa: ASYNC110 - it says so to nobody
                await asyncio.sleep(0.05)
        assert await content(spool) == [2]


async def test_12_a_full_spool_refuses_and_keeps_what_it_has(tmp_path: Path) -> None:
    async with open_spool(tmp_path, limit=1500) as spool:
        outcomes: list[Reason | None] = [await put(spool, [number]).done for number in range(40)]
        kept = [number for number, outcome in enumerate(outcomes) if outcome is None]
        assert 5 < len(kept) < 40
        assert outcomes[-1] == "spool"
        assert await content(spool) == kept


async def test_17_who_is_erased_is_blank_and_the_others_are_drained(tmp_path: Path) -> None:
    async with open_spool(tmp_path) as spool:
        put(spool, range(5))
        assert await spool.erase(lambda outgoing: outgoing.value == b"3") == 1
        assert await content(spool) == [0, 1, 2, None, 4]


async def test_12_an_answer_comes_in_time_even_from_a_disk_that_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing can be done for the event, but its sender must not think it stored."""
    gate = asyncio.Event()
    loop = asyncio.get_running_loop()

    def hang(descriptor: int, data: bytes) -> None:
        asyncio.run_coroutine_threadsafe(gate.wait(), loop).result(30)

    monkeypatch.setattr(disk, "write", hang)
    spool = Spool(SpoolFiles(tmp_path), 10**7)
    sender = Sender(NOBODY, spool, linger=0, deadline=0.1, backlog=10**6)
    running = asyncio.create_task(sender.run())
    with pytest.raises(Unavailable, match="deadline"):
        async with asyncio.timeout(5):
            await sender.send([record(1)])
    gate.set()
    running.cancel()
    await asyncio.wait([running])
