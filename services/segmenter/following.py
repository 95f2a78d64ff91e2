"""Follows the log from where a view stands, and turns what it says into rows of the tables."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from schemas.records import ProfileErased, ProfileEvent, ProfileMerged, Record
from schemas.topics import PROFILE_EVENTS, partition_of
from services.runtime.past import Reach, read_past
from services.segmenter.domain.lives import Applied, Wanted
from services.segmenter.domain.payload import Unreadable, payload
from services.segmenter.domain.sql.rows import Rows
from services.segmenter.lives import decoded_if

Told = tuple[int, int, int, Record | None]
"""Partition, offset, the broker's time, and a record unless it does not matter."""

_TOLD_EVERY = 10_000
NOBODY = -1
"""The survivor of who is no longer counted."""


@dataclass(slots=True)
class Known:
    """A profile id of the sample."""

    number: int
    survivor: int
    """Number of the profile that it is now, its own while it lives."""
    partition: int
    clock: int = 0
    seen: bool = False
    """Whether anything happened to it; only then does it exist."""

    @property
    def has_ended(self) -> bool:
        return self.survivor != self.number


class Follower:
    """Takes records in order within a partition; what is new since it began is kept for saving.

    A merge counts at once, not only when the history has travelled.
    """

    def __init__(
        self, known: dict[str, Known], chosen: Wanted, times: Mapping[int, int], rows: Rows
    ) -> None:
        self.known = known
        self.times = dict(times)
        self.rows = rows
        self.changed: set[str] = set()
        """Ids that are new, or whose survivor or clock changed."""
        self.erased: list[int] = []
        self._chosen = chosen
        self._next = max((each.number for each in known.values()), default=0) + 1
        self._within: dict[int, set[str]] = {}
        for profile_id, each in known.items():
            self._within.setdefault(each.survivor, set()).add(profile_id)

    def take(self, partition: int, offset: int, timestamp: int, record: Record | None) -> None:
        """One more record; None for one that is not asked for."""
        self.times[partition] = max(timestamp, self.times.get(partition, 0))
        match record:
            case ProfileEvent() if self._chosen(record.profile_id):
                self._apply(partition, offset, record)
            case ProfileMerged():
                self._merge(record.loser, record.winner)
            case ProfileErased() if record.profile_id in self.known:
                self.erased += [self.known[name].number for name in self._parts(record.profile_id)]
                self._end(record.profile_id, NOBODY)
            case _:
                pass

    def _apply(self, partition: int, offset: int, event: ProfileEvent) -> None:
        known = self.known.get(event.profile_id)
        if known is not None and known.has_ended:
            return
        try:
            content = payload(event.payload, with_row=event.type == "relation")
        except Unreadable:
            return
        known = known or self._met(event.profile_id)
        if not known.seen:
            self._see(event.profile_id)
        now = max(self.times[partition], known.clock, event.at or 0)
        at = min(event.timestamp, now) if event.at is None else event.at
        if event.at is not None and now > known.clock:
            known.clock = now
            self.changed.add(event.profile_id)
        self.rows.applied(known.number, Applied(event, content, partition, offset, now, at))

    def _merge(self, loser: str, winner: str) -> None:
        """A winner of whom a part is not in the sample is left out: it cannot be judged."""
        if self._chosen(loser):
            gone = self.known.get(loser) or self._met(loser)
            if not gone.has_ended:
                self._end(loser, self._heir(gone, winner))
        elif winner in self.known and not self.known[winner].has_ended:
            self._end(winner, NOBODY)

    def _heir(self, gone: Known, winner: str) -> int:
        """Number of who has the loser's history now; one outside the sample is nobody here."""
        if not self._chosen(winner):
            return NOBODY
        survivor = (self.known.get(winner) or self._met(winner)).survivor
        if gone.seen and survivor != NOBODY:
            name = next(n for n in self._within[survivor] if self.known[n].number == survivor)
            self._see(name)
        return survivor

    def _see(self, profile_id: str) -> None:
        """From now on it exists."""
        self.known[profile_id].seen = True
        self.changed.add(profile_id)

    def _met(self, profile_id: str) -> Known:
        partition = partition_of(profile_id.encode(), max(len(self.times), 1))
        known = self.known[profile_id] = Known(self._next, self._next, partition)
        self._within[self._next] = {profile_id}
        self._next += 1
        self.changed.add(profile_id)
        return known

    def _parts(self, profile_id: str) -> set[str]:
        return self._within.get(self.known[profile_id].number, set())

    def _end(self, profile_id: str, survivor: int) -> None:
        parts = self._within.pop(self.known[profile_id].number, set())
        for name in parts:
            self.known[name].survivor = survivor
        self._within.setdefault(survivor, set()).update(parts)
        self.changed |= parts


def read_on(
    bootstrap: str,
    held: Reach,
    start: Mapping[int, int],
    concerns: Wanted,
    progress: Callable[[int], None],
) -> Iterator[Told]:
    """What the log holds from these positions to its end.

    Raises:
        KafkaException: the broker went away.
    """
    messages = read_past(bootstrap, PROFILE_EVENTS.name, held.ends, start=start)
    for count, message in enumerate(messages, start=1):
        number, offset, (_, timestamp) = message.partition(), message.offset(), message.timestamp()
        assert number is not None
        assert offset is not None
        yield number, offset, timestamp, decoded_if(message, concerns)
        if count % _TOLD_EVERY == 0:
            progress(count)
