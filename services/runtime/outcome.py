"""What a handler may answer: four values, interpreted once in `delivery.py`."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Done(Generic[T]):
    """The message was handled; `value` is what comes of it."""

    value: T


@dataclass(frozen=True, slots=True)
class Skip:
    """Nothing to do, on purpose. `reason` is a short code from a closed set."""

    reason: str


@dataclass(frozen=True, slots=True)
class Retry:
    """The world was not ready; the same message again, not before `after` has passed."""

    reason: str
    after: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Reject:
    """This message will never succeed: dead letter. `detail` is a sentence without user data."""

    reason: str
    detail: str
    foreseen: bool = False
    """Somebody else's bad input, of a kind that a contract names: it never stops a stage."""
    source: str | None = None
    """Id of the source, where the message itself does not say it."""


Outcome = Done[T] | Skip | Retry | Reject
