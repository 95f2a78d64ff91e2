"""The line to one platform: the client, the token and the limits that all its calls share."""

from dataclasses import dataclass
from typing import Self

from services.activator.clock import Clock
from services.activator.instance import Instance
from services.activator.limiter import Limiter
from services.activator.tokens import Client, Tokens


@dataclass(frozen=True, slots=True)
class Line:
    """One for each version of an instance."""

    instance: Instance
    client: Client
    tokens: Tokens
    limiter: Limiter
    clock: Clock

    @classmethod
    def to(cls, instance: Instance, client: Client, clock: Clock) -> Self:
        """A fresh line: no token yet, nothing sent yet."""
        destination = instance.destination
        tokens = Tokens(destination, instance.settings, client, clock)
        return cls(instance, client, tokens, Limiter(destination.contract, clock), clock)
