"""One change for one destination: what is to be sent, and the key that makes repeats harmless."""

import hashlib
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from schemas.codec import Undecodable
from schemas.records import Activation, Cause, Identifier

Operation = Literal["add_member", "remove_member", "upsert_profile", "send_event"]

Key = tuple[str, str]
"""Audience (empty for a profile update, `event/` and its id for a conversion) and profile: changes
with the same key keep their order."""


class Goods(msgspec.Struct, frozen=True, omit_defaults=True):
    """One item of an order."""

    id: str | None = None
    quantity: float | None = None
    price: float | None = None
    name: str | None = None
    category: str | None = None
    brand: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """What is known of it."""
        found: dict[str, Any] = msgspec.to_builtins(self)
        return found


class Conversion(msgspec.Struct, frozen=True, omit_defaults=True):
    """What happened, for platforms that count conversions."""

    event_id: str
    name: str
    """Under which it is sent."""
    value: float | None = None
    currency: str | None = None
    order_id: str | None = None
    items: tuple[Goods, ...] = ()
    click: dict[str, str] = {}
    """Click ids by their usual names: fbc, fbp, gclid, gbraid, wbraid, ttclid, ttp, li_fat_id."""
    client: dict[str, str] = {}
    """ip, user_agent, url, referrer."""
    action_source: str = "website"
    properties: dict[str, Any] = {}

    @property
    def order(self) -> str:
        """The order's id; without one the event's."""
        return self.order_id or self.event_id


CONSENT_BITS = 20
"""Room for turns of consent between two changes of a membership."""


def version_of(sequence: int, flips: int | None) -> int:
    """What makes changes of a membership follow each other; `flips` for ads alone."""
    return sequence if flips is None else (sequence << CONSENT_BITS) + flips


class Person(msgspec.Struct, frozen=True):
    """Who a change is about, as the profile was when it was decided."""

    identifiers: tuple[Identifier, ...] = ()
    traits: dict[str, Any] = {}
    consent: dict[str, Any] = {}
    conversion: Conversion | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A change of a membership or profile, or a conversion. `raw` is the record it came as, kept
    for a later attempt."""

    destination_id: str
    operation: Operation
    audience_id: str | None
    profile_id: str
    version: int
    occurred_at: int
    received_at: int | None
    cause: Cause
    person: Person
    raw: bytes
    conversion: Conversion | None = None
    merged_into: str | None = None
    """The profile that this one was folded into, when it leaves for that."""
    key: Key = field(init=False)

    def __post_init__(self) -> None:
        place = self.audience_id or ""
        if self.conversion is not None:
            place = f"event/{self.conversion.event_id}"
        object.__setattr__(self, "key", (place, self.profile_id))

    @property
    def member(self) -> bool | None:
        """Whether the profile belongs to the audience after it; None for a profile update."""
        return None if self.audience_id is None else self.operation == "add_member"

    @property
    def idempotency_key(self) -> str:
        if self.conversion is not None:
            return _digest(self.destination_id, "send_event", self.conversion.event_id)
        return idempotency_key(
            self.destination_id, self.operation, self.audience_id, self.profile_id, self.version
        )


_person = msgspec.json.Decoder(Person)


def change_of(activation: Activation, raw: bytes) -> Change:
    """The change that the record asks for.

    Raises:
        Undecodable: the record asks for nothing that can be sent.
    """
    try:
        person = _person.decode(activation.profile)
    except msgspec.DecodeError as error:
        raise Undecodable("the profile in the activation cannot be read") from error
    return Change(
        destination_id=activation.destination_id,
        operation=_operation(activation),
        audience_id=activation.audience_id,
        profile_id=activation.profile_id,
        version=activation.version,
        occurred_at=activation.occurred_at,
        received_at=activation.received_at,
        cause=activation.cause,
        person=person,
        raw=raw,
        conversion=person.conversion if activation.kind == "conversion" else None,
        merged_into=activation.merged_into,
    )


def _operation(activation: Activation) -> Operation:
    match activation:
        case Activation(kind="conversion", audience_id=None):
            return "send_event"
        case Activation(kind="profile", audience_id=None):
            return "upsert_profile"
        case Activation(kind="membership", audience_id=str(), member=bool(member)):
            return "add_member" if member else "remove_member"
        case _:
            raise Undecodable("the activation is no membership, profile update or conversion")


def idempotency_key(
    destination_id: str, operation: str, audience_id: str | None, profile_id: str, version: int
) -> str:
    """The same for every attempt of the same change, different for every other change."""
    return _digest(destination_id, operation, audience_id or "", profile_id, str(version))


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
