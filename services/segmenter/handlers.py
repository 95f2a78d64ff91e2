"""One function for each kind of record: what it does to the profiles of its partition."""

from typing import assert_never

import msgspec

from schemas.problems import Invalid
from schemas.records import (
    BuildCalled,
    BuildReported,
    HistoryBuilt,
    ProfileErased,
    ProfileEvent,
    ProfileMerged,
    ProfileTransferred,
    Record,
    SegmentDefined,
    Tick,
)
from schemas.topics import PROFILE_EVENTS
from services.runtime.outcome import Done, Outcome, Reject
from services.segmenter import building, metrics
from services.segmenter.domain.calls import called
from services.segmenter.domain.evaluate import absorb, apply, depart
from services.segmenter.domain.past import regain
from services.segmenter.domain.payload import Unreadable
from services.segmenter.domain.profile import OtherFormat, Profile
from services.segmenter.partition import Work
from services.segmenter.store import Stub

Handled = (
    ProfileEvent
    | ProfileMerged
    | ProfileErased
    | ProfileTransferred
    | SegmentDefined
    | BuildCalled
    | BuildReported
    | HistoryBuilt
    | Tick
)
DONE: Done[None] = Done(None)
NOBODY = b'{"identifiers":[],"traits":{},"consent":{}}'
"""The profile in an exit that no destination is to be told of."""


def handle(record: Record, work: Work) -> Outcome[None]:
    """Apply one record to its partition, at the stream time that it brought."""
    if not isinstance(record, Handled):
        return Reject("unexpected_record", f"no {type(record).__name__} belongs in this topic")
    match record:
        case ProfileEvent():
            return happened(record, work)
        case ProfileMerged():
            return merged(record, work)
        case ProfileErased():
            return erased(record, work)
        case ProfileTransferred():
            return transferred(record, work)
        case SegmentDefined():
            return defined(record, work)
        case BuildCalled():
            return building.called(record, work)
        case BuildReported():
            return building.reported(record, work)
        case HistoryBuilt():
            return regained(record, work)
        case Tick():
            return DONE
        case _:
            assert_never(record)


def happened(event: ProfileEvent, work: Work) -> Outcome[None]:
    """The profile learns of the event; a merged one's survivor does, with `at` as it was here."""
    if (name := called(event)) is not None:
        work.hear_of(name)
    found = work.find(event.profile_id)
    partition = work.partition
    if isinstance(found, Stub):
        if found.survivor is None:
            return _dropped()
        at = min(event.timestamp, partition.now) if event.at is None else event.at
        forwarded = msgspec.structs.replace(event, profile_id=found.survivor, at=at)
        return _forward(work, found.survivor, forwarded)
    try:
        transitions = apply(partition.catalogue, found.profile, event, partition.now)
    except Unreadable:
        return Reject("unreadable_payload", "the payload is no JSON object")
    work.report(transitions, event.received_at)
    return DONE


def merged(merge: ProfileMerged, work: Work) -> Outcome[None]:
    """The loser leaves everything, a stub takes its place, its state travels to the winner."""
    found = work.find(merge.loser)
    if isinstance(found, Stub):
        return DONE
    partition = work.partition
    exits = depart(partition.catalogue, found.profile, partition.now, merge.merge_id)
    work.report(exits, merged_into=merge.winner)
    travelling = ProfileTransferred(
        loser=merge.loser,
        winner=merge.winner,
        merge_id=merge.merge_id,
        at=partition.now,
        state=found.profile.encode(),
    )
    work.cycle.emit(PROFILE_EVENTS, key=merge.winner, record=travelling)
    work.bury(found, merge.winner)
    return DONE


def erased(erasure: ProfileErased, work: Work) -> Outcome[None]:
    """The profile leaves everything and is forgotten; what still comes for it is dropped."""
    found = work.find(erasure.profile_id)
    if isinstance(found, Stub):
        return DONE
    partition = work.partition
    regulation = erasure.regulation_id
    exits = depart(partition.catalogue, found.profile, partition.now, regulation, cause="erasure")
    if not erasure.destinations:
        exits = [
            msgspec.structs.replace(e, profile=NOBODY) if e.cause == "erasure" else e for e in exits
        ]
    work.report(exits)
    work.bury(found, None)
    return DONE


def transferred(transfer: ProfileTransferred, work: Work) -> Outcome[None]:
    """The winner takes over the loser's history; if it was merged itself, its survivor does."""
    found = work.find(transfer.winner)
    if isinstance(found, Stub):
        if found.survivor is None:
            return _dropped()
        onward = msgspec.structs.replace(transfer, winner=found.survivor)
        return _forward(work, found.survivor, onward)
    partition = work.partition
    try:
        loser = Profile.decode(transfer.loser, transfer.state)
    except OtherFormat:
        return _foreign()
    work.report(absorb(partition.catalogue, found.profile, loser, partition.now, transfer.merge_id))
    return DONE


def regained(built: HistoryBuilt, work: Work) -> Outcome[None]:
    """The winner of an earlier merge learns what was read about the loser."""
    found = work.known(built.profile_id)
    if isinstance(found, Stub):
        if found.survivor is None:
            return _dropped()
        building.moved(work)
        onward = msgspec.structs.replace(built, profile_id=found.survivor)
        return _forward(work, found.survivor, onward)
    if found is not None:
        partition = work.partition
        try:
            earlier = Profile.decode(built.profile_id, built.state)
        except OtherFormat:
            return _foreign()
        work.report(regain(partition.catalogue, found.profile, earlier, partition.now))
    return DONE


def defined(definition: SegmentDefined, work: Work) -> Outcome[None]:
    """From here on the version is known; it counts at once if all its history is there."""
    try:
        work.register(definition)
    except (Invalid, msgspec.DecodeError):
        return Reject("invalid_definition", "the segment's definition cannot be read")
    return DONE


def _foreign() -> Reject:
    return Reject("state_of_another_version", "the state was sent by a version of another format")


def _dropped() -> Outcome[None]:
    metrics.FORGOTTEN.inc()
    return DONE


def _forward(
    work: Work, survivor: str, record: ProfileEvent | ProfileTransferred | HistoryBuilt
) -> Outcome[None]:
    work.cycle.emit(PROFILE_EVENTS, key=survivor, record=record)
    metrics.FORWARDED.inc()
    return DONE
