"""Who merges with whom: what linking the identifiers of one event would do to the graph."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal

from schemas.records import Identifier
from services.identity.domain.extract import USER_ID, Carried, mark_of
from services.identity.domain.graph import Graph, Profile
from services.identity.domain.ids import profile_id
from services.identity.domain.rules import ALIAS, IdentityRules

Reason = Literal["limit", "max_merges", "max_identifiers"]
Held = Mapping[Identifier, Profile | None]
"""The identifiers of an event, strongest first, each with the profile that holds it."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one profile may hold."""

    per_type: Mapping[str, int]
    max_merges: int
    max_identifiers: int

    @classmethod
    def of(cls, rules: IdentityRules) -> "Limits":
        per_type = {rule.type: rule.limit for rule in rules.identifiers}
        return cls(per_type, rules.max_merges, rules.max_identifiers)


@dataclass(frozen=True, slots=True)
class Refusal:
    """An identifier that was left out of the event's profile, and why."""

    identifier: Identifier
    reason: Reason


@dataclass(frozen=True, slots=True)
class Plan:
    """What becomes of one event. Planned again after it was applied, it holds nothing to do."""

    profile_id: str
    accepted: tuple[Identifier, ...]
    """All identifiers of the event that are the profile's once the plan is applied."""
    created: bool = False
    links: tuple[Identifier, ...] = ()
    merges: tuple[str, ...] = ()
    """Profiles that fold into this one."""
    refusals: tuple[Refusal, ...] = ()

    @property
    def visible(self) -> tuple[Identifier, ...]:
        """The accepted identifiers without the marks of aliases."""
        return tuple(i for i in self.accepted if i.type != ALIAS)


def plan_links(
    carried: Carried, graph: Graph, limits: Limits, *, refused: Collection[Identifier] = ()
) -> Plan:
    """The earliest created profile survives, unless a limit or a cap keeps profiles apart.

    `refused`: what was left out when the same identifiers were decided before; that decision
    stands. The event must carry at least one identifier.
    """
    remaining = tuple(i for i in carried.identifiers if i not in refused)
    stated = tuple(i for i in _stated(remaining, carried.previous, graph) if i not in refused)
    held = {i: graph.holder(i) for i in (*remaining, *stated)}
    refusals: list[Refusal] = []
    while (breach := _breach(held, stated, limits)) is not None:
        reason, dropped = breach
        refusals += [Refusal(i, reason) for i in dropped]
        held = {i: holder for i, holder in held.items() if i not in dropped}
    return _plan(held or _strongest(carried, graph), graph, tuple(refusals))


def _strongest(carried: Carried, graph: Graph) -> Held:
    """Where all was left out before: still the event is somebody's. A user id that nobody holds may
    have a mark, and that of the strongest was what remained the first time."""
    marked = [(i, mark_of(i)) if i.type == USER_ID else (i,) for i in carried.identifiers]
    all_of_it = (*chain.from_iterable(marked), *carried.previous)
    known = [i for i in all_of_it if graph.holder(i) is not None]
    strongest = (known or all_of_it)[0]
    return {strongest: graph.holder(strongest)}


def apply(plan: Plan, graph: Graph, created_at: int) -> None:
    """Do to the graph what the plan says."""
    if plan.created:
        graph.create(plan.profile_id, created_at)
    for loser in plan.merges:
        graph.fold(loser, plan.profile_id)
    for identifier in plan.links:
        graph.link(identifier, plan.profile_id)


def _stated(
    identifiers: Sequence[Identifier], previous: Sequence[Identifier], graph: Graph
) -> tuple[Identifier, ...]:
    """The identifiers that an alias states to be one person's: exempt from limits.

    `previousId` means the user id, else the anonymous id. A user id that turns up only after the
    alias finds its mark, so that the order of the two does not matter.
    """
    users = [i for i in identifiers if i.type == USER_ID]
    stated: list[Identifier] = []
    for user in users:
        if graph.holder(user) is None and graph.holder(mark_of(user)) is not None:
            stated += [user, mark_of(user)]
    if not previous or any(i in users for i in previous):
        return tuple(stated)
    known = [i for i in previous if graph.holder(i) is not None]
    meant = known[0] if known else previous[-1]
    stated = [*users, *stated, meant]
    if meant.type != USER_ID and previous[0].type == USER_ID:
        stated.append(mark_of(previous[0]))
    return tuple(stated)


def _breach(
    held: Held, stated: Collection[Identifier], limits: Limits
) -> tuple[Reason, Sequence[Identifier]] | None:
    """The first limit or cap that the union would exceed, and what to leave out for it."""
    profiles = _profiles(held)
    union = _counts(held)
    before = [p.counts for p in profiles] + [_counts({i: held[i] for i in stated if i in held})]
    for type_, limit in limits.per_type.items():
        # What was more than the limit before, through an alias or older rules, may stay so.
        if union.get(type_, 0) > max(limit, *(counts.get(type_, 0) for counts in before)):
            return "limit", [i for i in held if i not in stated][-1:]
    others = [i for i, p in held.items() if p is not None and p.id != profiles[0].id]
    if others and sum(p.merges for p in profiles) + len(profiles) - 1 > limits.max_merges:
        return "max_merges", others
    most = max((_size(p.counts) for p in profiles), default=0)
    if _size(union) > max(limits.max_identifiers, most):
        return "max_identifiers", others or _last_new(held)
    return None


def _last_new(held: Held) -> Sequence[Identifier]:
    """The weakest identifier that nobody holds; an alias that is refused leaves no mark."""
    new = [i for i, holder in held.items() if holder is None]
    marks = [i for i in new if i.type == ALIAS]
    return [[i for i in new if i.type != ALIAS][-1], *marks]


def _size(counts: Mapping[str, int]) -> int:
    """How many identifiers these are; the marks of aliases are none."""
    return sum(count for type_, count in counts.items() if type_ != ALIAS)


def _profiles(held: Held) -> list[Profile]:
    """The profiles concerned, that of the strongest identifier first."""
    return list({p.id: p for p in held.values() if p is not None}.values())


def _counts(held: Held) -> Mapping[str, int]:
    """Identifiers by type in the union of the profiles and those that nobody holds yet."""
    counts: dict[str, int] = {}
    for profile in _profiles(held):
        for type_, count in profile.counts.items():
            counts[type_] = counts.get(type_, 0) + count
    for identifier, holder in held.items():
        if holder is None:
            counts[identifier.type] = counts.get(identifier.type, 0) + 1
    return counts


def _plan(held: Held, graph: Graph, refusals: tuple[Refusal, ...]) -> Plan:
    profiles = sorted(_profiles(held), key=lambda p: (p.created_at, p.id))
    accepted = tuple(held)
    links = tuple(i for i, holder in held.items() if holder is None)
    if not profiles:
        return Plan(_fresh_id(accepted[0], graph), accepted, True, links, (), refusals)
    survivor, *others = (p.id for p in profiles)
    return Plan(survivor, accepted, False, links, tuple(others), refusals)


def _fresh_id(strongest: Identifier, graph: Graph) -> str:
    attempt = 0
    while graph.exists(profile_id(strongest, attempt)):
        attempt += 1
    return profile_id(strongest, attempt)
