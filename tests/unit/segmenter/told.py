"""A profile's log told in a few calls, and what follows from it for an explanation."""

from typing import Any

import msgspec

from schemas.records import EventType, ProfileEvent
from services.segmenter.domain.explain.explanation import Explanation, explain
from services.segmenter.domain.explain.remembered import Remembered, remember
from services.segmenter.domain.lives import PartitionLog, lives
from services.segmenter.domain.segment import Segment
from tests.unit.segmenter import naive
from tests.unit.segmenter.story import segment

WHO = "p_1"


class Told:
    """What a partition's log says of one profile; `now` never goes back."""

    def __init__(self) -> None:
        self.log = PartitionLog(0)
        self.person = naive.Person(id=WHO)
        self.count = 0

    def happen(
        self,
        now: int,
        type: EventType,
        *,
        name: str | None = None,
        at: int | None = None,
        message_id: str | None = None,
        **content: Any,
    ) -> str:
        """One event; its message id."""
        self.count += 1
        message_id = message_id or f"m{self.count}"
        timestamp = now if at is None else at
        event = ProfileEvent(
            profile_id=WHO,
            message_id=message_id,
            source_id="web",
            type=type,
            name=name,
            timestamp=timestamp,
            received_at=now,
            payload=msgspec.json.encode({k: v for k, v in content.items() if v is not None}),
        )
        self.log.take(self.count, now, event)
        self.person.events.append(
            naive.Seen(type, name, min(timestamp, now), message_id, **content)
        )
        return message_id

    def track(self, now: int, name: str, *, at: int | None = None, **properties: Any) -> str:
        """A track event with these properties."""
        return self.happen(now, "track", name=name, at=at, properties=properties)

    def identify(self, now: int, *, at: int | None = None, **traits: Any) -> str:
        """An identify with these traits."""
        return self.happen(now, "identify", at=at, traits=traits)

    @property
    def remembered(self) -> Remembered:
        """All of it."""
        applied = [each for life in lives({0: self.log}) for each in life.applied]
        return remember(WHO, applied)

    def explained(self, where: Any, now: int, **others: Any) -> Explanation:
        """Why the profile is in segment `s`, or not."""
        segments: dict[str, Segment] = {n: segment(w, name=n) for n, w in others.items()}
        mine = segments["s"] = segment(where)
        return explain(mine, segments, self.remembered, now)
