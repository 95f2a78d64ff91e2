"""The records that travel between the services, in flow order. Instants are Unix milliseconds."""

from typing import Literal

import msgspec

CallType = Literal["track", "identify", "page", "screen", "group", "alias"]
"""What a tracker may call."""
EventType = Literal[CallType, "relation"]
"""A relation event comes from a warehouse only: a row was linked to a profile or unlinked."""
Cause = Literal["event", "time", "edit", "archive", "merge", "split", "erasure", "resume"]
Kind = Literal["source", "model", "identity", "segment", "destination"]
State = Literal["live", "paused", "archived"]
ActivationKind = Literal["membership", "profile", "conversion"]
BuildCall = Literal["begin", "report", "end"]
SubjectType = Literal["USER_ID", "ANONYMOUS_ID"]


class Identifier(msgspec.Struct, frozen=True, order=True):
    """One normalised identifier, such as `email` and `jane@example.com`."""

    type: str
    value: str


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One accepted event: flat routing fields and the normalised event as JSON bytes.

    Bookkeeping (request id, path, client address, warnings) travels in the Kafka headers.
    """

    source_id: str
    message_id: str
    type: EventType
    name: str | None = None
    """The event name of a track; the call's name of a page or screen; a relation's name."""
    user_id: str | None = None
    anonymous_id: str | None = None
    timestamp: int
    received_at: int
    historical: bool = False
    payload: bytes


class ErasureRequested(msgspec.Struct, frozen=True, kw_only=True):
    """Some people are to be forgotten; a copy lies in every partition of the events."""

    erasure_id: str
    """The regulation and the number of the part, for many people come in several parts."""
    regulation_id: str
    subjects: tuple[Identifier, ...]
    at: int
    """What was received by then is to go; what comes later is a new life."""
    destinations: bool
    """Whether the destinations are told that the profiles left their audiences."""


class ProfileEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One event of one profile, after its links are durable."""

    profile_id: str
    message_id: str
    source_id: str
    type: EventType
    name: str | None = None
    timestamp: int
    received_at: int
    identifiers: tuple[Identifier, ...] = ()
    """As linked by this event."""
    historical: bool = False
    payload: bytes
    at: int | None = None
    """When it happened, fixed when it was first applied; set on a forwarded event only."""


class ProfileMerged(msgspec.Struct, frozen=True, kw_only=True):
    """`loser` was folded into `winner`; keyed by the loser. Repeats carry the same `merge_id`."""

    loser: str
    winner: str
    merge_id: str
    cause: str
    """Message id of the event that joined the two."""
    at: int


class ProfileErased(msgspec.Struct, frozen=True, kw_only=True):
    """The profile is to be forgotten; its id is never used again. Repeats change nothing."""

    profile_id: str
    regulation_id: str
    at: int
    destinations: bool
    """Whether the destinations are told that it left their audiences."""


class ProfileTransferred(msgspec.Struct, frozen=True, kw_only=True):
    """The whole state of a merged profile on its way to the winner's partition."""

    loser: str
    winner: str
    merge_id: str
    at: int
    state: bytes
    """Private to the segmenter (msgpack)."""


class Tick(msgspec.Struct, frozen=True, kw_only=True):
    """Time goes by in a partition that received nothing else."""

    partition: int


class SegmentDefined(msgspec.Struct, frozen=True, kw_only=True):
    """A version of a segment; here it counts, or its history has to be built first.

    All partitions hold the same definitions and build calls in the same order.
    """

    segment_id: str
    version: int
    state: State
    definition: bytes
    """The workspace document as canonical JSON."""


class BuildCalled(msgspec.Struct, frozen=True, kw_only=True):
    """What every partition is to do for a build, one after the other; a copy lies in each.

    `begin`: leaves without a history keep one from here on, and what lies before is read again.
    `report`: say whether parts of it were still on their way. `end`: from here on the segments
    that waited count.
    """

    build: int
    call: BuildCall
    round: int
    """Of the reports, from 1."""


class BuildReported(msgspec.Struct, frozen=True, kw_only=True):
    """A partition has read everything from before the build, or answers another round."""

    build: int
    partition: int
    round: int
    moved: bool
    """Whether it sent anything on to another profile since its last report."""


class HistoryBuilt(msgspec.Struct, frozen=True, kw_only=True):
    """What a partition read, for a build, about a profile that was merged into this one."""

    profile_id: str
    build: int
    state: bytes
    """Private to the segmenter (msgpack)."""


class MembershipChanged(msgspec.Struct, frozen=True, kw_only=True):
    """A profile entered or left a segment. `sequence` counts from 1 per (profile, segment)."""

    segment_id: str
    segment_version: int
    profile_id: str
    member: bool
    sequence: int
    occurred_at: int
    decided_at: int
    cause: Cause
    cause_id: str
    """Message id (event, time: empty), merge id, or version (edit, archive)."""
    received_at: int | None = None
    """When the causing event reached us; measures latency, None unless the cause is an event."""
    profile: bytes
    """JSON object with `identifiers`, `traits`, `consent` as they were at `decided_at`."""
    merged_into: str | None = None
    """The survivor, when the profile leaves because it was folded into another."""


class ProfileUpdated(msgspec.Struct, frozen=True, kw_only=True):
    """What a profile is now; the latest record of a key is the whole truth."""

    profile_id: str
    version: int
    updated_at: int
    identifiers: tuple[Identifier, ...] = ()
    traits: bytes = b"{}"
    consent: bytes = b"{}"
    memberships: tuple[str, ...] = ()
    """Ids of the segments that the profile is in, sorted."""
    merged_into: str | None = None
    erased: bool = False
    """The person asked to be forgotten: nothing but the id is left."""


class Activation(msgspec.Struct, frozen=True, kw_only=True):
    """One change for one destination."""

    destination_id: str
    kind: ActivationKind
    profile_id: str
    audience_id: str | None = None
    """Id of the segment, for a membership."""
    member: bool | None = None
    version: int
    """Monotonic per (profile, audience): the membership's sequence, or the profile's version."""
    occurred_at: int
    received_at: int | None = None
    cause: Cause
    profile: bytes
    """JSON object with `identifiers`, `traits`, `consent`; of a conversion with `conversion`."""
    merged_into: str | None = None
    """The survivor, when the profile leaves because it was folded into another."""


class Definition(msgspec.Struct, frozen=True, kw_only=True):
    """One workspace document in force. Secrets in it are references, never values."""

    kind: Kind
    id: str
    version: int
    state: State
    body: bytes
    """The document as canonical JSON: keys sorted, no white space."""


class Suppression(msgspec.Struct, frozen=True, kw_only=True):
    """Events of this person are not taken; a record without value ends it."""

    source_id: str | None = None
    """Of the one source that it holds for; None for all."""
    subject_type: SubjectType
    key_id: str
    """Names the secret under which the digest was made."""
    digest: str
    """Keyed digest of the id, so that the log does not tell who it is."""
    until: int | None = None
    """Set when somebody was erased: only what was received by then, and still waits on a disk."""


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """Something that could not be taken, with all that is needed to look at it or replay it."""

    code: str
    """From a closed set; never holds user data."""
    message: str
    """A sentence for people; never quotes user data."""
    stage: str
    source_id: str | None = None
    topic: str | None = None
    partition: int | None = None
    offset: int | None = None
    received_at: int
    request_id: str | None = None
    path: str | None = None
    index: int | None = None
    raw: bytes


Record = (
    Event
    | ErasureRequested
    | ProfileEvent
    | ProfileMerged
    | ProfileErased
    | ProfileTransferred
    | Tick
    | SegmentDefined
    | BuildCalled
    | BuildReported
    | HistoryBuilt
    | MembershipChanged
    | ProfileUpdated
    | Activation
    | Definition
    | Suppression
    | DeadLetter
)
