"""What holds for the events of one request, and what can become of each of them."""

from collections.abc import Callable, Collection
from typing import Literal

import msgspec

from schemas.records import CallType
from services.ingest.domain.codes import EventCode
from services.ingest.domain.limits import Limits
from services.ingest.domain.normalise import Circumstances, Warning_
from services.ingest.domain.subject import Holds

NewId = Callable[[], str]


class Accepted(msgspec.Struct, frozen=True):
    """An event on its way into the log; `key` keeps one person's events in one partition."""

    key: bytes
    record: bytes
    message_id: str | None
    """As its copies carry it; None if it is of our own making."""
    warnings: tuple[Warning_, ...]


class Rejected(msgspec.Struct, frozen=True):
    """An event that is put aside, with what its sender is told."""

    index: int
    code: EventCode
    raw: bytes
    message_id: str | None
    events: int = 1
    """More than one: `raw` is an array of them, beginning with the one at `index`."""


Dropped = Literal["duplicate", "suppressed"]
"""What is discarded and still answered as accepted."""
Taken = Accepted | Rejected | Dropped


class Terms(msgspec.Struct, frozen=True):
    """What holds for all events of one request."""

    around: Circumstances
    limits: Limits
    type: CallType | None
    """Of the path; it wins over the type in an event."""
    new_id: NewId
    holds: Holds
    any_durable: Callable[[Collection[str]], bool]
    """Whether an event of one of these message ids is known to be in the log."""
    message_ids: set[str] = msgspec.field(default_factory=set)
    """Of the events of this request that were accepted: among copies the first wins."""
