"""The line to one platform: the client, the token and the limits that all its calls share."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from services.activator.breaker import Breaker, BreakingClient, Client
from services.activator.clock import Clock
from services.activator.instance import Instance
from services.activator.limiter import Limiter
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
        cls, instance: Instance, client: Client, clock: Clock, random: Callable[[], float]
    ) -> Self:
        """A fresh line: no token yet, nothing sent yet."""
        destination, breaker = instance.destination, Breaker(instance.id, clock, random)
        sparing = BreakingClient(client, breaker)
        return cls(
            instance=instance,
            client=sparing,
            tokens=Tokens(destination, instance.settings, sparing, clock),
            limiter=Limiter(destination.contract, clock),
            breaker=breaker,
            clock=clock,
        )
