"""What the log says about profiles: what each came to know, when, and who was folded into whom.

This is the log read without the segmenter's state: the ground on which a recomputation, an
explanation or a look into the past stands. Only the clock of a merged profile is taken from the
state that travelled, because it may have been ahead of the winner's partition.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from schemas.records import (
    BuildCalled,
    ProfileErased,
    ProfileEvent,
    ProfileMerged,
    ProfileTransferred,
    Record,
    SegmentDefined,
)
from services.segmenter.domain.payload import Payload, Unreadable, payload
from services.segmenter.domain.profile import OtherFormat, Profile

Wanted = Callable[[str], bool]
"""Whether the life of the profile with this id is asked for."""


@dataclass(frozen=True, slots=True)
class Applied:
    """One event as it was applied; later copies that were forwarded have the first one's `at`."""

    event: ProfileEvent
    content: Payload
    partition: int
    offset: int
    now: int
    """Stream time of the profile then."""
    at: int
    """When it happened, as it counts."""


@dataclass(frozen=True, slots=True)
class Absorbed:
    """Here the profile took over the whole life of another one."""

    loser: str
    merge_id: str
    partition: int
    offset: int
    now: int


@dataclass(frozen=True, slots=True)
class Defined:
    """Here the partition learned of a version of a segment, or of a build."""

    record: SegmentDefined | BuildCalled
    partition: int
    offset: int
    now: int


@dataclass(slots=True)
class Chapter:
    """What happened to one profile id in its own partition."""

    entries: list[Applied | Absorbed] = field(default_factory=list)
    clock: int = 0
    """Its own time: it never goes back, and may be ahead of the partition's after a merge."""
    merged_into: str | None = None
    erased: bool = False
    """It was forgotten, and what still comes for it is dropped."""

    @property
    def has_ended(self) -> bool:
        """Whether nothing more counts under this id."""
        return self.erased or self.merged_into is not None


@dataclass(frozen=True, slots=True)
class Life:
    """A profile that is nobody else's part, with all that it came to know, in that order."""

    profile_id: str
    partition: int
    applied: tuple[Applied, ...]
    merges: tuple[Absorbed, ...]
    clock: int
    """Its own time at the end: that of its partition, or later."""


class PartitionLog:
    """Reads one partition's records in order, and keeps what concerns the profiles wanted."""

    def __init__(
        self,
        number: int,
        wanted: Wanted = lambda _: True,
        buried: Mapping[str, str | None] = MappingProxyType({}),
    ) -> None:
        """`buried` were merged, into whom, or erased (None) before the log begins."""
        self.number = number
        self.now = 0
        """Stream time, Unix milliseconds."""
        self.chapters: dict[str, Chapter] = {}
        self.definitions: list[Defined] = []
        self.registered: list[SegmentDefined | BuildCalled] = []
        """What says which versions are in force, in order."""
        self._wanted = wanted
        self._buried = buried

    def take(self, offset: int, timestamp: int, record: Record) -> None:
        """One more record, with the broker's time."""
        self.pass_time(timestamp)
        match record:
            case ProfileEvent() if self._wanted(record.profile_id):
                self._apply(offset, record)
            case ProfileMerged() if self._wanted(record.loser):
                chapter = self._chapter(record.loser)
                if not chapter.has_ended:
                    chapter.merged_into = record.winner
            case ProfileErased() if self._wanted(record.profile_id):
                self._erase(record.profile_id)
            case ProfileTransferred() if self._wanted(record.winner):
                self._absorb(offset, record)
            case SegmentDefined() | BuildCalled():
                self.definitions.append(Defined(record, self.number, offset, self.now))
                self.registered.append(record)
            case _:
                pass

    def pass_time(self, timestamp: int) -> None:
        """A record that is not asked for moves the time, too."""
        self.now = max(self.now, timestamp)

    def _apply(self, offset: int, event: ProfileEvent) -> None:
        chapter = self._chapter(event.profile_id)
        if chapter.has_ended:
            return  # it is forwarded and counts where it arrives, or it is dropped
        try:
            content = payload(event.payload, with_row=event.type == "relation")
        except Unreadable:
            return
        at = min(event.timestamp, self.now) if event.at is None else event.at
        now = max(self.now, chapter.clock, event.at or 0)
        chapter.clock = now
        chapter.entries.append(Applied(event, content, self.number, offset, now, at))

    def _absorb(self, offset: int, transfer: ProfileTransferred) -> None:
        chapter = self._chapter(transfer.winner)
        if chapter.has_ended:
            return
        try:
            loser = Profile.decode(transfer.loser, transfer.state)
        except OtherFormat:
            return  # the stream refused it, too
        if loser.exists:
            now = chapter.clock = max(self.now, chapter.clock, loser.seen)
            chapter.entries.append(
                Absorbed(transfer.loser, transfer.merge_id, self.number, offset, now)
            )

    def _erase(self, profile_id: str) -> None:
        chapter = self._chapter(profile_id)
        if not chapter.has_ended:
            chapter.erased = True
            chapter.entries.clear()

    def _chapter(self, profile_id: str) -> Chapter:
        chapter = self.chapters.get(profile_id)
        if chapter is None:
            chapter = self.chapters[profile_id] = Chapter()
            if profile_id in self._buried:
                chapter.merged_into = self._buried[profile_id]
                chapter.erased = chapter.merged_into is None
        return chapter


def survivor(profile_id: str, merged: Mapping[str, str]) -> str:
    """Who a profile is now, along the chain of merges."""
    seen = {profile_id}
    while (onward := merged.get(profile_id)) is not None and onward not in seen:
        seen.add(onward)
        profile_id = onward
    return profile_id


def lives(partitions: Mapping[int, PartitionLog]) -> Iterator[Life]:
    """The life of each profile that has one: merged ones are within their winner's.

    What is on its way between two partitions belongs to nobody, as it does for the stream.
    """
    chapters = {
        name: chapter for log in partitions.values() for name, chapter in log.chapters.items()
    }
    for log in partitions.values():
        for profile_id, chapter in log.chapters.items():
            if not chapter.has_ended and chapter.entries:
                yield _life(profile_id, log, chapters)


def _life(profile_id: str, log: PartitionLog, chapters: Mapping[str, Chapter]) -> Life:
    entries = tuple(_told(profile_id, chapters))
    return Life(
        profile_id,
        log.number,
        tuple(entry for entry in entries if isinstance(entry, Applied)),
        tuple(entry for entry in entries if isinstance(entry, Absorbed)),
        max(log.now, chapters[profile_id].clock),
    )


def _told(profile_id: str, chapters: Mapping[str, Chapter]) -> Iterator[Applied | Absorbed]:
    chapter = chapters.get(profile_id)
    for entry in chapter.entries if chapter is not None else ():
        if isinstance(entry, Absorbed):
            yield from _told(entry.loser, chapters)
        yield entry
