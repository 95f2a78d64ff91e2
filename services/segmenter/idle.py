"""What a partition does by itself: fire timers, walk to new definitions, append them, tick."""

from collections.abc import Mapping
from itertools import islice

import msgspec

from schemas.problems import Invalid
from schemas.records import Definition, SegmentDefined, Tick
from schemas.topics import PROFILE_EVENTS
from services.runtime.stage import Cycle, State
from services.segmenter import metrics, store
from services.segmenter.domain.evaluate import advance
from services.segmenter.domain.segment import parse_segment, references, referred_first
from services.segmenter.partition import Partition, Work
from services.segmenter.store import Stub


def fire_timers(work: Work, most: int) -> int:
    """Let the profiles whose time has come change, earliest first; how many were looked at."""
    partition = work.partition
    _catch_up(work)
    due = store.due_timers(work.state, partition.fired_until, partition.now)
    fired = 0
    for instant, profile_id in islice(due, most):
        fired += 1
        partition.fired_until = instant
        found = work.find(profile_id)
        if isinstance(found, Stub):
            raise AssertionError("a stub has no timer")
        store.disarm(work.state, found)
        work.report(advance(partition.catalogue, found.profile, partition.now))
    if fired < most:
        partition.fired_until = partition.now + 1
    metrics.TIMERS.inc(fired)
    return fired


def _catch_up(work: Work) -> None:
    """Profiles of this cycle whose time came within it: their timers are not in the store yet."""
    now = work.partition.now
    late = [
        (due, profile_id)
        for profile_id, kept in work.touched.items()
        if (due := kept.profile.next_due) is not None and due <= now
    ]
    for _, profile_id in sorted(late):
        work.report(advance(work.partition.catalogue, work.touched[profile_id].profile, now))


def walk(work: Work, most: int) -> None:
    """Bring the next profiles to the newest generation."""
    after = store.load_walk(work.state) or ""
    profile_ids = list(islice(store.profile_ids(work.state, after), most))
    for profile_id in profile_ids:
        work.find(profile_id)
    ended = len(profile_ids) < most
    store.save_walk(work.state, None if ended else profile_ids[-1])
    work.partition.walking = not ended


def append_definitions(
    state: State, cycle: Cycle, segments: Mapping[str, Definition], partitions: int
) -> None:
    """Append each new version of a segment to every partition's log, once.

    The first partition's owner does it for all of them in one transaction, so that all have the
    same versions in the same order; nothing that follows from one can overtake it anywhere.
    """
    for segment_id in referred_first({name: _referred(each) for name, each in segments.items()}):
        definition = segments[segment_id]
        wanted = (definition.version, definition.state)
        if store.appended_version(state, segment_id) == wanted:
            continue
        store.save_appended_version(state, segment_id, *wanted)
        record = SegmentDefined(
            segment_id=segment_id,
            version=definition.version,
            state=definition.state,
            definition=definition.body,
        )
        for partition in range(partitions):
            cycle.emit(PROFILE_EVENTS, key=segment_id, record=record, partition=partition)


def _referred(definition: Definition) -> frozenset[str]:
    try:
        document = msgspec.json.decode(definition.body)
        return references(parse_segment(document, version=0, state=definition.state))
    except (Invalid, msgspec.DecodeError):
        return frozenset()


def tick(partition: Partition, cycle: Cycle) -> None:
    """Time goes by in the log, too, when nothing else comes."""
    record = Tick(partition=partition.number)
    cycle.emit(PROFILE_EVENTS, key=str(partition.number), record=record, partition=partition.number)
