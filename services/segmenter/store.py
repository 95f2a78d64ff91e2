"""Profiles, forwarding stubs, timers and definitions of one partition as ordered bytes.

| key | value |
|---|---|
| `d` number | the n-th definition or build call that this partition has taken, framed Avro |
| `a` segment | newest version appended; in the first partition, whose owner does it for all |
| `b` | `Reading`: how far this partition is with the build that runs |
| `c` | `Round`: what the partitions have reported of it; in the first partition |
| `h` build | instant from which on the log held everything when the build read it, if it was cut |
| `n` name | an event of this name has come |
| `p` profile | `ARMED`, version, profile (msgpack) if its timer is at the profile's next change; |
| | else `ELSEWHERE`, version, the timer's instant, profile; or `STUB`, offset, survivor |
| `t` instant, profile | a timer: something of the profile may change by itself then |
| `T` | stream time |
| `u` | where the walk over profiles of an older generation has come to |
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from schemas.codec import decode, encode
from schemas.records import BuildCalled, Record, SegmentDefined
from services.runtime.stage import State
from services.segmenter.domain.profile import Profile

_NUMBER = struct.Struct(">Q")
_INSTANT = struct.Struct(">q")
_PROFILE = b"p"
_ARMED = b"p"
_ELSEWHERE = b"q"
_STUB = b"s"
_VERSION_BYTES = 5
NEVER = -1


@dataclass(slots=True)
class Kept:
    """A profile with what the store keeps beside it."""

    profile: Profile
    armed: int
    """Instant of its timer, Unix milliseconds; `NEVER` without one."""
    version: int
    """Of its `ProfileUpdated` records."""
    is_moved: bool = False
    """Its timer is another than its bytes say."""


@dataclass(frozen=True, slots=True)
class Stub:
    """What is left of a merged profile: where its records go. Those of an erased one go nowhere."""

    survivor: str | None
    offset: int
    """Of the record that merged or erased it: what came before was still its own."""


class Reading(msgspec.Struct, array_like=True):
    """How far one partition is with the build that runs."""

    until: int
    """Offset of the call that began it: what lies before is read again."""
    next: int = 0
    """Offset to read on from."""
    now: int = 0
    """Stream time there, Unix milliseconds."""
    round: int = 0
    """Of the last report; 0 while there is something to read."""
    moved: bool = False
    """Whether anything was sent on to another profile since then."""


class Round(msgspec.Struct, array_like=True):
    """One round of reports; in the last one nothing was on its way any more."""

    number: int
    reported: list[int] = msgspec.field(default_factory=list)
    moved: bool = False


def load_profile(state: State, profile_id: str) -> Kept | Stub | None:
    data = state.get(_profile_key(profile_id))
    return None if data is None else _kept(profile_id, data)


def save_profile(state: State, kept: Kept, now: int) -> None:
    """Write the profile; its timer moves only forward to an earlier instant, else it stays.

    One that is as it was written stays unwritten: that it was looked at is not worth a record.
    """
    profile, due = kept.profile, kept.profile.next_due
    if due is not None and (kept.armed == NEVER or due < kept.armed):
        disarm(state, kept)
        state.put(_timer_key(due, profile.id), b"")
        kept.armed = due
        kept.is_moved = True
    if profile.is_written and not kept.is_moved and profile.seen <= now:
        return
    kept.is_moved = False
    state.put(_profile_key(profile.id), _header(kept) + profile.encode())


def disarm(state: State, kept: Kept) -> None:
    """Take the profile's timer away."""
    if kept.armed != NEVER:
        state.delete(_timer_key(kept.armed, kept.profile.id))
        kept.armed = NEVER
        kept.is_moved = True


def save_stub(state: State, profile_id: str, stub: Stub) -> None:
    data = _STUB + _NUMBER.pack(stub.offset) + (stub.survivor or "").encode()
    state.put(_profile_key(profile_id), data)


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
        if not value.startswith(_STUB):
            yield key[1:].decode()


def definitions(state: State) -> Iterator[Record]:
    """All definitions and build calls that this partition has taken, oldest first."""
    for _, value in state.scan(b"d"):
        yield decode(value)


def save_definition(state: State, number: int, definition: SegmentDefined | BuildCalled) -> None:
    state.put(b"d" + _NUMBER.pack(number), encode(definition))


def load_reading(state: State) -> Reading | None:
    """None while no build runs."""
    data = state.get(b"b")
    return None if data is None else msgspec.msgpack.decode(data, type=Reading)


def save_reading(state: State, reading: Reading | None) -> None:
    _put_or_delete(state, b"b", reading)


def load_round(state: State) -> Round | None:
    """None while the partitions are asked for nothing."""
    data = state.get(b"c")
    return None if data is None else msgspec.msgpack.decode(data, type=Round)


def save_round(state: State, round_: Round | None) -> None:
    _put_or_delete(state, b"c", round_)


def built_since(state: State) -> dict[int, int]:
    """Build → the instant before which the log held nothing any more; without whole ones."""
    return {_NUMBER.unpack(key[1:])[0]: _NUMBER.unpack(value)[0] for key, value in state.scan(b"h")}


def save_built_since(state: State, build: int, since: int) -> None:
    state.put(b"h" + _NUMBER.pack(build), _NUMBER.pack(since))


def appended_version(state: State, segment_id: str) -> tuple[int, str]:
    """Newest version and its state that went into the log of this partition; (0, "") if none."""
    data = state.get(b"a" + segment_id.encode())
    if data is None:
        return 0, ""
    version, _, segment_state = data.decode().partition(" ")
    return int(version), segment_state


def save_appended_version(state: State, segment_id: str, version: int, segment_state: str) -> None:
    state.put(b"a" + segment_id.encode(), f"{version} {segment_state}".encode())


def names(state: State) -> set[str]:
    """Of the events that have come, as conditions call them."""
    return {key[1:].decode() for key, _ in state.scan(b"n")}


def save_name(state: State, name: str) -> None:
    state.put(b"n" + name.encode(), b"")


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


def _kept(profile_id: str, data: bytes) -> Kept | Stub:
    if data.startswith(_STUB):
        (offset,) = _NUMBER.unpack_from(data, 1)
        return Stub(data[1 + _NUMBER.size :].decode() or None, offset)
    version, rest = int.from_bytes(data[1 : 1 + _VERSION_BYTES], "big"), data[1 + _VERSION_BYTES :]
    if data.startswith(_ELSEWHERE):
        (armed,) = _INSTANT.unpack_from(rest)
        return Kept(Profile.decode(profile_id, rest[_INSTANT.size :]), armed, version)
    profile = Profile.decode(profile_id, rest)
    return Kept(profile, _due(profile), version)


def _header(kept: Kept) -> bytes:
    version = kept.version.to_bytes(_VERSION_BYTES, "big")
    if kept.armed == _due(kept.profile):
        return _ARMED + version
    return _ELSEWHERE + version + _INSTANT.pack(kept.armed)


def _due(profile: Profile) -> int:
    return NEVER if profile.next_due is None else profile.next_due


def _put_or_delete(state: State, key: bytes, value: msgspec.Struct | None) -> None:
    if value is None:
        state.delete(key)
    else:
        state.put(key, msgspec.msgpack.encode(value))


def _profile_key(profile_id: str) -> bytes:
    return _PROFILE + profile_id.encode()


def _timer_key(due: int, profile_id: str) -> bytes:
    return b"t" + _NUMBER.pack(due) + profile_id.encode()
