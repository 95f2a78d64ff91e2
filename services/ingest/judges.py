"""A process beside the loop's, for requests whose judging would hold up everybody else.

Not a thread: a parser reads a body of four million bytes in one call that lets nobody else run.
What comes back is taken in slices, between which the loop goes on.
"""

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

from msgspec import structs

from services.ingest import jobs
from services.ingest.domain.codes import Refused
from services.ingest.domain.judge import Call, Rules, refusal
from services.ingest.domain.source import Source
from services.ingest.jobs import LENGTH_BYTES, Job, Judged, Keyed, Piece, Subject
from services.ingest.outcome import Outcome, outcome
from services.ingest.outgoing import Outgoing
from services.ingest.sender import Unavailable

LONGEST_QUEUE = 16
"""Full batches take up to 0.1 s each: who stands further behind would not be answered in time."""
COMMAND = (sys.executable, "-m", "services.ingest.aside")
READ_BYTES = 1024 * 1024
CLOSE_S = 5.0


class _Verdict(NamedTuple):
    head: Judged
    subjects: Sequence[bytes]
    pieces: Sequence[bytes]


class Judges:
    """One process: it starts with the first heavy request, or earlier if it is told to."""

    def __init__(
        self, longest_queue: int = LONGEST_QUEUE, command: Sequence[str] = COMMAND
    ) -> None:
        self._longest_queue = longest_queue
        self._command = command
        self._queue = 0
        self._turn = asyncio.Lock()
        self._process: Process | None = None

    async def judge(self, body: bytes, call: Call, rules: Rules, source: Source | None) -> Outcome:
        """What `outcome.decided` comes to.

        Raises:
            Unavailable: too many wait already, or the process has ended.
        """
        async with self._my_turn():
            try:
                return await self._judged(_job(body, call, rules, source), rules, source)
            except Refused as refused:
                return outcome(refusal(refused, None, body), call)

    async def _judged(self, job: Job, rules: Rules, source: Source | None) -> Outcome:
        """Asked anew with what the process wanted to know, until it wants nothing.

        Raises:
            Refused: the key in the body opens no source to this request.
        """
        while True:
            answer = await self._ask(job)
            if isinstance(answer, Keyed):
                source = rules.admitted(answer.key)
                job = _job(job.body, job.call, rules, source)
                continue
            suppressed = await _suppressed(answer.subjects, rules, source)
            if suppressed <= job.suppressed:
                return await _outcome(answer, rules, source)
            job = structs.replace(job, suppressed=suppressed | job.suppressed)

    async def start(self) -> None:
        """Have the process ready before it is needed."""
        async with self._turn:
            await self._running()

    async def close(self) -> None:
        """End the process; it may be started anew."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            async with asyncio.timeout(CLOSE_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    @asynccontextmanager
    async def _my_turn(self) -> AsyncIterator[None]:
        if self._queue >= self._longest_queue:
            raise Unavailable("judges")
        self._queue += 1
        try:
            async with self._turn:
                yield
        finally:
            self._queue -= 1

    async def _running(self) -> Process:
        if self._process is None:
            self._process = await asyncio.create_subprocess_exec(
                *self._command, stdin=PIPE, stdout=PIPE, limit=READ_BYTES, start_new_session=True
            )
        return self._process

    async def _ask(self, job: Job) -> Keyed | _Verdict:
        """A process that ended, or was left in the middle of an answer, is replaced."""
        try:
            process = await self._running()
            return await _answered(process, jobs.encode(job))
        except (OSError, asyncio.IncompleteReadError) as error:
            await self._give_up()
            raise Unavailable("judges") from error
        except BaseException:
            await self._give_up()
            raise

    async def _give_up(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
        await self.close()


def _job(body: bytes, call: Call, rules: Rules, source: Source | None) -> Job:
    if source is None:
        return Job(body, call, None, None)
    return Job(body, call, source.model_dump_json().encode(), rules.limits[source.profile])


async def _answered(process: Process, frame: bytes) -> Keyed | _Verdict:
    asked, answered = process.stdin, process.stdout
    assert asked is not None
    assert answered is not None
    asked.write(jobs.length(frame))
    asked.write(frame)
    await asked.drain()
    head = jobs.read_answer(await _frame(answered))
    if isinstance(head, Keyed):
        return head
    subjects = [await _frame(answered) for _ in range(head.subjects)]
    return _Verdict(head, subjects, [await _frame(answered) for _ in range(head.pieces)])


async def _frame(answered: asyncio.StreamReader) -> bytes:
    head = await answered.readexactly(LENGTH_BYTES)
    return await answered.readexactly(int.from_bytes(head, "big"))


async def _suppressed(
    frames: Sequence[bytes], rules: Rules, source: Source | None
) -> frozenset[Subject]:
    """Those of the people whom a body names of whom the source must know nothing."""
    found: set[Subject] = set()
    if source is None:
        return frozenset()
    for frame in frames:
        await asyncio.sleep(0)
        for kind, value in jobs.read_subjects(frame):
            if rules.is_suppressed(source.id, kind, value):
                found.add((kind, value))
    return frozenset(found)


async def _outcome(verdict: _Verdict, rules: Rules, source: Source | None) -> Outcome:
    """Without the events that are known to be durable already."""
    head = verdict.head
    if source is None:
        return Outcome(head.answer, None, head.tally, head.refused, (), ())
    ids: list[str | None] = []
    records: list[Outgoing] = []
    duplicates = 0
    for frame in verdict.pieces:
        await asyncio.sleep(0)
        piece = jobs.read_piece(frame)
        fresh = _fresh(piece, source.id, rules)
        duplicates += len(piece.records) - len(fresh.records)
        ids += fresh.message_ids
        records += fresh.records
    tally = structs.replace(
        head.tally,
        accepted=head.tally.accepted - duplicates,
        duplicate=head.tally.duplicate + duplicates,
    )
    return Outcome(head.answer, source.id, tally, head.refused, ids, records)


def _fresh(piece: Piece, source_id: str, rules: Rules) -> Piece:
    if not rules.any_durable(source_id, [one for one in piece.message_ids if one is not None]):
        return piece
    events = len(piece.message_ids)
    kept = [
        (identity, record)
        for identity, record in zip(piece.message_ids, piece.records[:events], strict=True)
        if identity is None or not rules.any_durable(source_id, (identity,))
    ]
    return Piece(
        [identity for identity, _ in kept],
        [*(record for _, record in kept), *piece.records[events:]],
    )
