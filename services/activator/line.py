"""The line to one platform: the client, the token and the limits that all its calls share."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self

from services.activator import metrics
from services.activator.breaker import Breaker, BreakingClient, Client
from services.activator.clock import Clock
from services.activator.domain.outcomes import Failure, Outcome, Reading, Response, wait_of
from services.activator.domain.platform import Setup, Token
from services.activator.domain.requests import Request
from services.activator.instance import Instance
from services.activator.limiter import Group, Limiter
from services.activator.tokens import Tokens


@dataclass(frozen=True, slots=True)
class Line:
    """One for each version of an instance."""

    instance: Instance
    client: Client
    tokens: Tokens
    limiter: Limiter
    breaker: Breaker
    clock: Clock

    @classmethod
    def to(
        cls, instance: Instance, client: Client, limiter: Limiter, random: Callable[[], float]
    ) -> Self:
        """A fresh line, without a token; what went out before still counts for the limits."""
        clock, destination = limiter.clock, instance.destination
        breaker = Breaker(instance.id, clock, random)
        sparing = BreakingClient(client, breaker)
        return cls(
            instance=instance,
            client=sparing,
            tokens=Tokens(destination, instance.settings, sparing, clock),
            limiter=limiter,
            breaker=breaker,
            clock=clock,
        )

    async def ask(self, build: Callable[[Setup[Any]], Request], group: Group) -> Response | Failure:
        """The answer to a call that carries no items, with a new token if the first is refused.

        Raises:
            NoToken: there is none.
            Paused: no call may be made now.
        """
        token = await self.tokens.current()
        answered = await self._asked(build, token, group)
        if token is not None and isinstance(answered, Response) and answered.status == 401:
            token = await self.tokens.renewed(token)
            answered = await self._asked(build, token, group)
        return answered

    async def _asked(
        self, build: Callable[[Setup[Any]], Request], token: Token | None, group: Group
    ) -> Response | Failure:
        request = build(self.instance.setup(token, {}, self.clock.now()))
        async with group.slot():
            return await self.client.send(request)

    async def heed(
        self, reading: Reading, group: Group, hinted: timedelta | None = None
    ) -> datetime | None:
        """Pause if that is what an answer asks for; until when."""
        if reading.outcome is not Outcome.THROTTLED:
            return None
        metrics.PAUSES.labels(self.instance.id).inc()
        wait = wait_of(reading, hinted, self.clock.now())
        return await group.throttled(wait, reading.pause_most)
