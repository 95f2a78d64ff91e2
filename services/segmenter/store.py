"""Profiles, forwarding stubs, timers and definitions of one partition as ordered bytes.

| key | value |
|---|---|
| `d` number | the n-th `SegmentDefined` of this partition, framed Avro |
| `a` segment | newest version that this partition's owner has appended |
| `p` profile | `PROFILE`, armed instant, version, profile (msgpack); or `STUB`, the survivor |
| `t` instant, profile | a timer: something of the profile may change by itself then |
| `T` | stream time |
| `u` | where the walk over profiles of an older generation has come to |
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from schemas.codec import decode_as, encode
from schemas.records import SegmentDefined
from services.runtime.stage import State
from services.segmenter.domain.profile import Profile

_NUMBER = struct.Struct(">Q")
_HEADER = struct.Struct(">cqq")
_PROFILE = b"p"
_STUB = b"s"
NEVER = -1


@dataclass(slots=True)
class Kept:
    """A profile with what the store keeps beside it."""

    profile: Profile
    armed: int
    """Instant of its timer, Unix milliseconds; `NEVER` without one."""
    version: int
    """Of its `ProfileUpdated` records."""


@dataclass(frozen=True, slots=True)
class Stub:
    """What is left of a merged profile: where its records go. Those of an erased one go nowhere."""

    survivor: str | None


def load_profile(state: State, profile_id: str) -> Kept | Stub | None:
    data = state.get(_profile_key(profile_id))
    return None if data is None else _kept(data)


def save_profile(state: State, kept: Kept) -> None:
    """Write the profile; its timer moves only forward to an earlier instant, else it stays."""
    profile, due = kept.profile, kept.profile.next_due
    if due is not None and (kept.armed == NEVER or due < kept.armed):
        disarm(state, kept)
        state.put(_timer_key(due, profile.id), b"")
        kept.armed = due
    header = _HEADER.pack(_PROFILE, kept.armed, kept.version)
    state.put(_profile_key(profile.id), header + profile.encode())


def disarm(state: State, kept: Kept) -> None:
    """Take the profile's timer away."""
    if kept.armed != NEVER:
        state.delete(_timer_key(kept.armed, kept.profile.id))
        kept.armed = NEVER


def save_stub(state: State, profile_id: str, survivor: str | None) -> None:
    state.put(_profile_key(profile_id), _STUB + (survivor or "").encode())


def due_timers(state: State, since: int, until: int) -> Iterator[tuple[int, str]]:
    """Timers at `since` … `until`, both inclusive, in (instant, profile) order.

    `since` lets the scan begin behind the timers fired before, whose graves are slow to cross.
    """
    for key, _ in state.scan(b"t", start=b"t" + _NUMBER.pack(max(0, since))):
        (due,) = _NUMBER.unpack_from(key, 1)
        if due > until:
            return
        yield due, key[1 + _NUMBER.size :].decode()


def profile_ids(state: State, after: str) -> Iterator[str]:
    """Ids of live profiles behind `after`, in order."""
    for key, value in state.scan(b"p", start=_profile_key(after) + b"\0"):
        if value.startswith(_PROFILE):
            yield key[1:].decode()


def definitions(state: State) -> Iterator[SegmentDefined]:
    """All definitions that this partition has taken, oldest first."""
    for _, value in state.scan(b"d"):
        yield decode_as(SegmentDefined, value)


def save_definition(state: State, number: int, definition: SegmentDefined) -> None:
    state.put(b"d" + _NUMBER.pack(number), encode(definition))


def appended_version(state: State, segment_id: str) -> tuple[int, str]:
    """Newest version and its state that went into the log of this partition; (0, "") if none."""
    data = state.get(b"a" + segment_id.encode())
    if data is None:
        return 0, ""
    version, _, segment_state = data.decode().partition(" ")
    return int(version), segment_state


def save_appended_version(state: State, segment_id: str, version: int, segment_state: str) -> None:
    state.put(b"a" + segment_id.encode(), f"{version} {segment_state}".encode())


def load_time(state: State) -> int:
    """Stream time, Unix milliseconds; 0 before the first record."""
    data = state.get(b"T")
    return 0 if data is None else int(_NUMBER.unpack(data)[0])


def save_time(state: State, now: int) -> None:
    state.put(b"T", _NUMBER.pack(now))


def load_walk(state: State) -> str | None:
    """The last profile brought to the newest generation; None when all are there."""
    data = state.get(b"u")
    return None if data is None else data.decode()


def save_walk(state: State, after: str | None) -> None:
    if after is None:
        state.delete(b"u")
    else:
        state.put(b"u", after.encode())


def _kept(data: bytes) -> Kept | Stub:
    if data.startswith(_STUB):
        return Stub(data[1:].decode() or None)
    _, armed, version = _HEADER.unpack_from(data)
    return Kept(Profile.decode(data[_HEADER.size :]), armed, version)


def _profile_key(profile_id: str) -> bytes:
    return _PROFILE + profile_id.encode()


def _timer_key(due: int, profile_id: str) -> bytes:
    return b"t" + _NUMBER.pack(due) + profile_id.encode()
