"""Short ways to write what events carry, for the tests of identity."""

from schemas.records import Identifier
from services.identity.domain.batch import Incoming, Snapshot, resolve_batch
from services.identity.domain.extract import Carried
from services.identity.domain.graph import Graph
from services.identity.domain.merge import Limits
from services.identity.domain.rules import IdentityRules

LETTERS = {"u": "user_id", "e": "email", "p": "phone", "a": "anonymous_id"}
STRENGTH = list(LETTERS)


def identifier(short: str) -> Identifier:
    """`u1` is the user id `u1`, `e1` an email, `p1` a phone, `a1` an anonymous id."""
    return Identifier(LETTERS[short[0]], short)


def carried(shorts: str, *, previous: str | None = None) -> Carried:
    """`u1 a1`, strongest first; `previous` as in an alias."""
    identifiers = sorted(shorts.split(), key=lambda short: STRENGTH.index(short[0]))
    return Carried(
        tuple(identifier(short) for short in identifiers),
        ()
        if previous is None
        else (Identifier("user_id", previous), Identifier("anonymous_id", previous)),
    )


def event(
    shorts: str, *, at: int = 0, message: str | None = None, previous: str | None = None
) -> Incoming:
    name = message or f"{shorts}|{previous}|{at}"
    return Incoming(carried(shorts, previous=previous), "web", name, at)


def limits(*, max_merges: int = 100, max_identifiers: int = 1000, **per_type: int) -> Limits:
    """The default ones unless given: `limits(email=2)`."""
    rules = Limits.of(IdentityRules())
    return Limits({**rules.per_type, **per_type}, max_merges, max_identifiers)


class World:
    """A graph that events are played into."""

    def __init__(self, limits_: Limits | None = None) -> None:
        self.limits = limits_ or limits()
        self.snapshot = Snapshot(Graph(), {}, {})

    def play(self, *events: Incoming) -> "World":
        resolve_batch(events, self.snapshot, self.limits)
        return self

    def profile_of(self, short: str) -> str | None:
        holder = self.snapshot.graph.holder(identifier(short))
        return None if holder is None else holder.id

    def groups(self) -> set[frozenset[str]]:
        """The identifiers, as they are together; without the marks of aliases."""
        groups: dict[str, set[str]] = {}
        for found, profile_id in self.snapshot.graph.holders.items():
            if found.type != "alias":
                survivor = self.snapshot.graph.survivor(profile_id)
                groups.setdefault(survivor, set()).add(f"{found.type}:{found.value}")
        return {frozenset(group) for group in groups.values()}

    def together(self, *shorts: str) -> bool:
        profiles = {self.profile_of(short) for short in shorts}
        return len(profiles) == 1 and None not in profiles
