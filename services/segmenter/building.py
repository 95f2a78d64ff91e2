"""New and edited segments get their history: every partition reads its own log once more.

The first partition's owner begins a build and ends it by calls that lie in every partition's log.
From `begin` on the missing leaves keep what happens; what lies before it each partition reads again
in slices, beside its live work, and tells the same profiles. What belongs to a profile that was
merged meanwhile is sent after it. When all have reported, and nothing was on its way any more in
the last round, `end` puts the waiting versions into force.
"""

from collections.abc import Sequence
from typing import Protocol

from schemas.codec import Undecodable, decode
from schemas.records import BuildCall, BuildCalled, BuildReported, HistoryBuilt, ProfileEvent
from schemas.topics import PROFILE_EVENTS
from services.runtime.outcome import Done, Outcome
from services.runtime.stage import Cycle, Raw
from services.segmenter import metrics, store
from services.segmenter.domain.catalogue import Catalogue
from services.segmenter.domain.past import concerns, relive
from services.segmenter.domain.payload import Unreadable
from services.segmenter.domain.profile import Profile
from services.segmenter.partition import Partition, Work
from services.segmenter.store import Kept, Reading, Round, Stub

FIRST = 0
"""The partition whose owner calls all the others."""
DONE: Done[None] = Done(None)


class Past(Protocol):
    """The input, from its start."""

    @property
    def partitions(self) -> int:
        """How many the input has."""
        ...

    def read(self, partition: int, offset: int, most: int) -> Sequence[Raw]:
        """Records from `offset` on, in order, as far as they are at hand; often none."""
        ...

    def close(self) -> None:
        """Nothing more is read for now."""
        ...


def begin(first: Partition, cycle: Cycle, partitions: int) -> None:
    """The first partition's owner begins the build that some version waits for, once."""
    state = cycle.state(first.number)
    if store.load_round(state) is None:
        store.save_round(state, Round(1))
        _call(cycle, partitions, first.register.build + 1, "begin")


def called(call: BuildCalled, work: Work) -> Outcome[None]:
    """Begin to read, answer another round, or let the versions that waited count."""
    partition = work.partition
    match call.call:
        case "begin":
            work.register(call)
            partition.reading = Reading(until=work.offset)
        case "report":
            _report(work, call.round)
        case "end":
            work.register(call)
            partition.reading = None
    store.save_reading(work.state, partition.reading)
    return DONE


def reported(report: BuildReported, work: Work) -> Outcome[None]:
    """One more partition has read everything; after the last one the next call follows."""
    round_ = store.load_round(work.state)
    if round_ is None:
        return DONE
    round_.reported.append(report.partition)
    round_.moved |= report.moved
    following: Round | None = round_
    if len(round_.reported) == work.partitions:
        following = Round(round_.number + 1) if round_.moved else None
        call: BuildCall = "report" if round_.moved else "end"
        _call(work.cycle, work.partitions, report.build, call, round_.number + 1)
    store.save_round(work.state, following)
    return DONE


def moved(work: Work) -> None:
    """Something was sent on to another profile: the next report will say so."""
    reading = work.partition.reading
    if reading is not None:
        reading.moved = True
        store.save_reading(work.state, reading)


def read_on(work: Work, past: Past, most: int) -> bool:
    """Read the next records again; False when no more are at hand or needed."""
    partition, reading = work.partition, work.partition.reading
    if reading is None or not partition.is_reading:
        return False
    batch: Sequence[Raw] = ()
    if partition.catalogue.past is not None:
        batch = past.read(partition.number, reading.next, most)
        if not batch:
            return False
        if reading.next == 0 and batch[0].offset > 0:
            _note_beginning(work, batch[0].timestamp)
        _read(work, reading, [raw for raw in batch if raw.offset < reading.until])
    if not batch or batch[-1].offset >= reading.until:
        _report(work, 1)
    store.save_reading(work.state, reading)
    return True


def _note_beginning(work: Work, since: int) -> None:
    """The log was cut: what happened before is not known to this build."""
    build = work.partition.register.build
    work.partition.built_since[build] = since
    store.save_built_since(work.state, build, since)


def _read(work: Work, reading: Reading, batch: Sequence[Raw]) -> None:
    merged: dict[str, tuple[str, Profile]] = {}
    for raw in batch:
        reading.next = raw.offset + 1
        try:
            record = decode(raw.value)
        except Undecodable:
            continue
        reading.now = max(reading.now, raw.timestamp)
        if isinstance(record, ProfileEvent):
            at = min(record.timestamp, reading.now) if record.at is None else record.at
            _relive(work, record, raw.offset, at, merged)
    for survivor, profile in merged.values():
        _send_on(work, survivor, profile)
    metrics.READ_AGAIN.inc(len(batch))


def _relive(
    work: Work, event: ProfileEvent, offset: int, at: int, merged: dict[str, tuple[str, Profile]]
) -> None:
    """Tell the profile; for one that was merged later, collect what is to be sent on.

    What came after the merge was forwarded, and counts where it arrived.
    """
    catalogue, now = work.partition.catalogue, work.partition.now
    if catalogue.past is None or not concerns(catalogue.past, event):
        return
    found = work.known(event.profile_id)
    match found:
        case Kept():
            profile = found.profile
        case Stub(str(survivor), until) if offset < until:
            _, profile = merged.setdefault(event.profile_id, (survivor, _blank(catalogue, event)))
        case _:
            return
    try:
        work.report(relive(catalogue, profile, event, at, now))
    except Unreadable:
        return  # it was refused then, too


def _blank(catalogue: Catalogue, event: ProfileEvent) -> Profile:
    profile = Profile.new(event.profile_id)
    profile.generation = catalogue.generation
    return profile


def _send_on(work: Work, survivor: str, profile: Profile) -> None:
    built = HistoryBuilt(
        profile_id=survivor, build=work.partition.register.build, state=profile.encode()
    )
    work.cycle.emit(PROFILE_EVENTS, key=survivor, record=built)
    moved(work)


def _report(work: Work, round_: int) -> None:
    reading = work.partition.reading
    if reading is None:
        return
    number, build = work.partition.number, work.partition.register.build
    report = BuildReported(build=build, partition=number, round=round_, moved=reading.moved)
    reading.round, reading.moved = round_, False
    work.cycle.emit(PROFILE_EVENTS, key=str(FIRST), record=report, partition=FIRST)


def _call(cycle: Cycle, partitions: int, build: int, call: BuildCall, round_: int = 1) -> None:
    record = BuildCalled(build=build, call=call, round=round_)
    for partition in range(partitions):
        cycle.emit(PROFILE_EVENTS, key=str(partition), record=record, partition=partition)
