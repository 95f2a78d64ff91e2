"""What becomes of a request, as it leaves for the log, the client and the counters."""

from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec

from services.ingest.domain.answers import Answer
from services.ingest.domain.codes import Code, RequestCode
from services.ingest.domain.judge import Call, Rules, Verdict, judge
from services.ingest.domain.source import Source
from services.ingest.outgoing import Outgoing
from services.ingest.records import records

_NONE: Mapping[Code, int] = {}


class Tally(msgspec.Struct, frozen=True, array_like=True):
    """What was decided about how many events."""

    accepted: int = 0
    duplicate: int = 0
    suppressed: int = 0
    rejected: Mapping[Code, int] = _NONE

    @property
    def received(self) -> int:
        return self.accepted + self.duplicate + self.suppressed + sum(self.rejected.values())


class Outcome(msgspec.Struct, frozen=True):
    """`answer` holds once the records are durable."""

    answer: Answer
    source_id: str | None
    """None of a request that is nobody's."""
    tally: Tally
    refused: RequestCode | None
    message_ids: Sequence[str | None]
    """Of the first records, which are the events; None for an id of our own making."""
    records: Sequence[Outgoing]


def decided(body: bytes, call: Call, rules: Rules, source: Source | None) -> Outcome:
    """Judge a body and write what came of it."""
    return outcome(judge(body, call, rules, source), call)


def outcome(verdict: Verdict, call: Call) -> Outcome:
    """A verdict, written."""
    return Outcome(
        verdict.answer,
        None if verdict.source is None else verdict.source.id,
        _tally(verdict),
        verdict.refused,
        [one.message_id for one in verdict.accepted],
        records(verdict, call),
    )


def _tally(verdict: Verdict) -> Tally:
    if not verdict.put_aside:
        return Tally(len(verdict.accepted), verdict.duplicates, verdict.suppressed)
    rejected: Counter[Code] = Counter()
    for one in verdict.put_aside:
        rejected[one.code] += one.events
    return Tally(len(verdict.accepted), verdict.duplicates, verdict.suppressed, rejected)
