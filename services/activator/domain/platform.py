"""What a destination is made of: settings, a builder, limits and a retry schedule, all data."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, SecretStr, StrictBool

from services.activator.domain.change import Change
from services.activator.domain.outcomes import (
    Failure,
    Reading,
    Response,
    StatusRow,
    read_status,
)
from services.activator.domain.requests import Request


class DestinationSettings(BaseModel):
    """What every destination's settings have; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    allow_private: StrictBool = False
    """Permits private addresses and plain http, for this instance alone."""


S_contra = TypeVar("S_contra", bound=DestinationSettings, contravariant=True)
S = TypeVar("S", bound=DestinationSettings)


class Build(Protocol[S_contra]):
    """Makes the request of one attempt; pure, so `at` is passed in."""

    def __call__(self, change: Change, settings: S_contra, *, at: datetime) -> Request: ...


@dataclass(frozen=True, slots=True)
class Limits:
    """The ceiling of one instance: in no second do more requests leave."""

    per_second: int
    in_flight: int


@dataclass(frozen=True, slots=True)
class Schedule:
    """The waits between attempts; turned into time by `services.runtime.delivery`."""

    delays: tuple[timedelta, ...]
    jitter: float


GENERAL_SCHEDULE = Schedule(
    tuple(timedelta(seconds=min(300, 2**n) / 2) for n in range(11)), jitter=1.0
)
"""Twelve attempts with full jitter, for destinations without a schedule of their own."""

Read = Callable[[Response | Failure, datetime], Reading]


@dataclass(frozen=True, slots=True)
class Destination(Generic[S]):
    """One kind of destination. `statuses` are read before the default; `read` replaces both."""

    name: str
    settings: type[S]
    build: Build[S]
    limits: Limits
    schedule: Schedule = GENERAL_SCHEDULE
    statuses: Sequence[StatusRow] = ()
    read: Read | None = None
    check: Callable[[S], None] | None = None
    """Raises `BadSecret` when the secrets, once resolved, have the wrong form."""
    profiles: bool = False
    """Whether it can be told about profiles as well as about audiences."""

    def reading(self, answer: Response | Failure, now: datetime) -> Reading:
        """What the answer means here."""
        if self.read is not None:
            return self.read(answer, now)
        return read_status(answer, now, self.statuses)


def with_secrets(settings: S, resolve: Callable[[str], SecretStr]) -> S:
    """The settings with each reference to a secret replaced by the secret."""
    return settings.model_copy(
        update={name: _resolved(value, resolve) for name, value in settings if _is_secret(value)}
    )


def _is_secret(value: object) -> bool:
    return isinstance(value, SecretStr) or (
        isinstance(value, tuple) and any(isinstance(part, SecretStr) for part in value)
    )


def _resolved(value: object, resolve: Callable[[str], SecretStr]) -> object:
    if isinstance(value, SecretStr):
        return resolve(value.get_secret_value())
    return tuple(_resolved(part, resolve) for part in value) if isinstance(value, tuple) else value
