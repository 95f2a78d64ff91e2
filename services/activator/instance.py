"""One destination as it is in force: its definition, its secrets, its retry policy."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import ceil
from sys import maxsize
from typing import Any

from pydantic import SecretStr

from schemas.records import Definition
from services.activator.domain.consent import ConsentRules
from services.activator.domain.contract import Action, Endpoint, Rate
from services.activator.domain.destination import parse_destination
from services.activator.domain.job import Job
from services.activator.domain.pace import LONG_S, items_per_s
from services.activator.domain.platform import (
    Audience,
    Destination,
    DestinationSettings,
    Setup,
    Token,
    with_secrets,
)
from services.runtime.delivery import RetryPolicy

MOST_AT_ONCE = 10_000
PORTION_S = 2.0


@dataclass(frozen=True, slots=True)
class Instance:
    """Never printed whole: its settings hold secrets."""

    id: str
    version: int
    """Of the definition."""
    destination: Destination[Any]
    settings: DestinationSettings
    policy: RetryPolicy
    ordered: bool = False
    """Each call waits for the one before it, through all its attempts."""
    audiences: Mapping[str, Audience] = field(default_factory=dict)
    """By segment."""
    consent: ConsentRules = field(default_factory=ConsentRules)

    def endpoint(self, action: Action) -> Endpoint | None:
        """How the platform does it, in the way that the instance has chosen."""
        variant = self.destination.variant(self.settings, action)
        return self.destination.contract.endpoint(action, variant)

    @property
    def most_at_once(self) -> int:
        """As many changes as fill its largest request, within reason; 1 where each is its own."""
        chosen = (self.endpoint(each.action) for each in self.destination.contract.endpoints)
        return min(max(each.max_items for each in chosen if each is not None), MOST_AT_ONCE)

    @property
    def portion(self) -> int:
        """So many changes go out together, so that no answer is waited for in between."""
        return min(MOST_AT_ONCE, self.granted_in(PORTION_S))

    def granted_in(self, seconds: float) -> int:
        """As many changes as the platform grants in so long, and no fewer than fill a request."""
        granted = self.granted_per_s(LONG_S)
        return maxsize if granted is None else max(self.most_at_once, ceil(seconds * granted))

    def granted_per_s(self, longest_s: float) -> float | None:
        """Changes a second that the platform's ceilings let through, those over no more than such a
        stretch; None where there are none."""
        return items_per_s(self._steps(self.leading), longest_s)

    @property
    def leading(self) -> Endpoint:
        """The operation of which there are most: that of a first sync, where there is one."""
        return self.endpoint("add_member") or self.destination.contract.endpoints[0]

    def _steps(self, endpoint: Endpoint) -> Sequence[tuple[Endpoint, Sequence[Rate]]]:
        """The operation, and the making of the profile where that comes first, with ceilings."""
        made = self.destination.introduction(self.settings) if endpoint.requires else None
        listed = [each for each in (made, endpoint) if each is not None]
        return [(each, each.rates or self.destination.contract.rates) for each in listed]

    def endpoint_of(self, job: Job) -> Endpoint:
        """The operation that a job was made by."""
        listed = self.destination.contract.endpoints
        return next(e for e in listed if (e.action, e.variant) == (job.action, job.variant))

    def setup(
        self, token: Token | None, vendor_ids: Mapping[str, str], now: datetime
    ) -> Setup[Any]:
        """All that a request is built from beside its items."""
        return Setup(
            contract=self.destination.contract,
            settings=self.settings,
            destination_id=self.id,
            now=now,
            token=token,
            vendor_ids=vendor_ids,
            headers=self.destination.headers(self.settings, token),
            opt_in=self.consent.opt_in,
        )

    @property
    def linger(self) -> timedelta | None:
        """How long changes are collected; None for what the platform is usually given."""
        given = self.settings.linger
        return None if given is None else timedelta(seconds=given)


def instance_of(
    definition: Definition,
    resolve: Callable[[str], SecretStr],
    *,
    delays_s: Sequence[float] | None = None,
) -> Instance:
    """The instance that a definition describes; `delays_s` replaces its retry schedule.

    Raises:
        Invalid: the definition was applied by a version that knows more.
        UnresolvedSecret: a reference leads nowhere.
        BadSecret: what it leads to is no secret of this destination.
    """
    parsed = parse_destination(json.loads(definition.body))
    schedule = parsed.destination.schedule
    delays = schedule.delays if delays_s is None else tuple(timedelta(seconds=s) for s in delays_s)
    settings = with_secrets(parsed.settings, resolve)
    if parsed.destination.check is not None:
        parsed.destination.check(settings)
    return Instance(
        id=definition.id,
        version=definition.version,
        destination=parsed.destination,
        settings=settings,
        policy=RetryPolicy(delays, schedule.jitter, schedule.within),
        ordered=bool(getattr(parsed.settings, "ordered", False)),
        audiences=parsed.audiences,
        consent=parsed.consent,
    )
