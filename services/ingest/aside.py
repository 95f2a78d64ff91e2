"""`python -m services.ingest.aside`: judges heavy requests for the process that started it.

It knows nothing that changes: who is suppressed and which source a key opens it asks back, so that
it gives the same verdict as its parent. It ends when its input does.
"""

import gc
import signal
import sys
from typing import BinaryIO, NoReturn
from uuid import uuid4

from services.ingest import jobs
from services.ingest.domain.decode import LONG_INTEGER
from services.ingest.domain.judge import Rules
from services.ingest.domain.source import Source
from services.ingest.domain.subject import SubjectKind
from services.ingest.jobs import LENGTH_BYTES, Job, Judged, Keyed, Piece, Subject
from services.ingest.outcome import Outcome, decided


class _NotYetKnown(Exception):
    """The key must be looked up first."""

    def __init__(self, key: str) -> None:
        super().__init__("a key in the body")
        self.key = key


def main() -> None:
    """Answer until the other end is closed."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)  # the parent says when to end
    sys.set_int_max_str_digits(LONG_INTEGER)
    gc.disable()  # a million values are no garbage, and between jobs there is time
    serve(sys.stdin.buffer, sys.stdout.buffer)


def serve(asked: BinaryIO, answered: BinaryIO) -> None:
    """One job after the other."""
    while head := asked.read(LENGTH_BYTES):
        for frame in work(jobs.read_job(asked.read(int.from_bytes(head, "big")))):
            answered.write(jobs.length(frame))
            answered.write(frame)
        answered.flush()
        gc.collect()


def work(job: Job) -> list[bytes]:
    """The frames of the answer."""
    subjects: dict[Subject, None] = {}

    def is_suppressed(_: str, kind: SubjectKind, value: str) -> bool:
        subjects[kind, value] = None
        return (kind, value) in job.suppressed

    source = None if job.source is None else Source.model_validate_json(job.source)
    limits = {source.profile: job.limits} if source and job.limits else {}
    rules = Rules(_unknown, limits, lambda: str(uuid4()), is_suppressed, _never_seen)
    try:
        outcome = decided(job.body, job.call, rules, source)
    except _NotYetKnown as found:
        return [jobs.encode(Keyed(found.key))]
    return _frames(outcome, subjects)


def _unknown(key: str) -> NoReturn:
    raise _NotYetKnown(key)


def _never_seen(source_id: str, message_ids: object) -> bool:
    """The parent remembers what is durable."""
    return False


def _frames(outcome: Outcome, subjects: dict[Subject, None]) -> list[bytes]:
    named = tuple(subjects)
    asked = [jobs.encode(named[part]) for part in jobs.parts(len(named))]
    pieces = [
        jobs.encode(Piece(outcome.message_ids[part], outcome.records[part]))
        for part in jobs.parts(len(outcome.records))
    ]
    head = Judged(outcome.answer, outcome.tally, outcome.refused, len(asked), len(pieces))
    return [jobs.encode(head), *asked, *pieces]


if __name__ == "__main__":
    main()
