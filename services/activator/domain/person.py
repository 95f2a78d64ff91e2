"""Who a change is about, in the words that destinations use."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from schemas.records import Identifier
from services.activator.domain.change import Change, Person
from services.activator.domain.contract import Contract, IdType
from services.activator.domain.rules import HOME, Dialling, hashed

MAIDS: Mapping[str, str] = {"idfa": "ios", "aaid": "android", "gaid": "android", "maid": ""}
"""Identifier types that hold a mobile advertising id → its system; empty when unknown."""
_NAMED = frozenset({"email", "phone", *MAIDS})


@dataclass(frozen=True, slots=True)
class Known:
    """Identifiers and names of one person. Texts are as they were given, not normalised."""

    external_id: str
    emails: tuple[str, ...] = ()
    phones: tuple[str, ...] = ()
    maids: tuple[tuple[str, str], ...] = ()
    """System and id."""
    texts: Mapping[str, str] = field(default_factory=dict)
    """first_name, last_name, gender, dob, city, region, postal_code, country, title, company."""
    vendor: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Identifiers of all other types."""

    def text(self, name: str) -> str | None:
        return self.texts.get(name)


_TRAITS: Mapping[str, tuple[str, ...]] = {
    "first_name": ("first_name", "firstName"),
    "last_name": ("last_name", "lastName"),
    "gender": ("gender",),
    "dob": ("dob", "birthday"),
    "city": ("city", "address.city"),
    "region": ("region", "state", "address.state"),
    "postal_code": (
        "postal_code",
        "postalCode",
        "zip",
        "address.postalCode",
        "address.postal_code",
    ),
    "country": ("country", "address.country"),
    "title": ("title",),
    "company": ("company", "company.name"),
    "name": ("name",),
}
"""Where a name may stand among the traits, the first that holds a text counts."""
_PATHS = {
    name: tuple(tuple(place.split(".")) for place in places) for name, places in _TRAITS.items()
}
_KEPT = frozenset(path[0] for paths in _PATHS.values() for path in paths)


def known(person: Person, profile_id: str) -> Known:
    """The person of a change; without an external id of the customer's it is the profile's."""
    by_type: dict[str, list[str]] = {}
    for identifier in person.identifiers:
        by_type.setdefault(identifier.type, []).append(identifier.value)
    own = next((by_type[kind] for kind in OWN_IDS if kind in by_type), [profile_id])
    maids = [(os, value) for kind, os in MAIDS.items() for value in by_type.get(kind, ())]
    return Known(
        external_id=own[0],
        emails=tuple(by_type.get("email", ())),
        phones=tuple(by_type.get("phone", ())),
        maids=tuple(maids),
        texts=_texts(person.traits),
        vendor={kind: tuple(values) for kind, values in by_type.items() if kind not in _NAMED},
    )


OWN_IDS = ("external_id", "user_id")
"""Identifiers of the customer's own, the first that there is counts."""


def kept(person: Person, profile_id: str) -> Person:
    """What has to be remembered of a person who was sent, so that a removal names the same."""
    identifiers = person.identifiers
    if not any(identifier.type in OWN_IDS for identifier in identifiers):
        identifiers = (*identifiers, Identifier("external_id", profile_id))
    traits = {name: value for name, value in person.traits.items() if name in _KEPT}
    return Person(identifiers=identifiers, traits=traits)


def joined(one: Person, other: Person) -> Person:
    """All identifiers of both, the names of the other."""
    identifiers = dict.fromkeys((*other.identifiers, *one.identifiers))
    return Person(identifiers=tuple(identifiers), traits={**one.traits, **other.traits})


def each_own_id(change: Change) -> Iterator[Change]:
    """A removal once for each own id of the person, for there may be more after a merge."""
    yield change
    if change.operation != "remove_member":
        return
    own = [one for one in change.person.identifiers if one.type in OWN_IDS]
    for identifier in own[1:]:
        yield replace(change, person=Person(identifiers=(identifier,)))


def with_person(change: Change, person: Person | None) -> Change:
    """A conversion with all that is known of who did it; what it says itself comes first."""
    if change.conversion is None or person is None:
        return change
    everything = joined(person, change.person)
    consent = {**person.consent, **change.person.consent}
    return replace(
        change, person=msgspec.structs.replace(everything, consent=consent, traits=person.traits)
    )


def _texts(traits: Mapping[str, Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    if _KEPT.isdisjoint(traits):
        return found
    for name, paths in _PATHS.items():
        values = (_at(traits, path) for path in paths)
        text = next((v for v in values if isinstance(v, str) and v.strip()), None)
        if text is not None:
            found[name] = text
    return found


def _at(traits: Mapping[str, Any], path: Sequence[str]) -> Any:
    value: Any = traits
    for part in path:
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


@dataclass(frozen=True, slots=True)
class Identify:
    """Turns what is known of a person into the identifiers of one platform."""

    contract: Contract
    dialling: Dialling = HOME

    def one(self, kind: str, raw: str | None) -> str | None:
        """The identifier in the form that the platform wants; None when nothing usable is left."""
        if raw is None or not raw.strip():
            return None
        wanted = (self.contract.ids or {})[kind]
        value = hashed(wanted.rule, wanted.hash, raw, self.dialling)
        return None if value is None else _cut(value, wanted)

    def many(self, kind: str, raws: Sequence[str]) -> tuple[str, ...]:
        """Each usable one, once, in order."""
        if not raws:
            return ()
        found = (self.one(kind, raw) for raw in raws)
        return tuple(dict.fromkeys(value for value in found if value is not None))

    def first(self, kind: str, raws: Sequence[str]) -> str | None:
        """The first usable one."""
        return next(iter(self.many(kind, raws)), None)


def _cut(value: str, wanted: IdType) -> str | None:
    if wanted.max_length is not None and len(value) > wanted.max_length:
        return None
    return value.upper() if wanted.upper else value
