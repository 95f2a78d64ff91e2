"""What the identity graph knows of one profile: identifiers, whom it absorbed, what it refused."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg
from rich.table import Table

from services.control.dead_letters import instant
from services.control.finding import NotFound, find_profile
from services.identity.domain.rules import ALIAS
from services.runtime.postgres import AWAY

TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Linked:
    """An identifier of the profile and the event that linked it; instants are Unix milliseconds."""

    type: str
    value: str
    first_seen: int
    last_seen: int
    """To the hour: most events write nothing."""
    source_id: str
    message_id: str


@dataclass(frozen=True, slots=True)
class Folded:
    """A profile that is part of this one now."""

    profile_id: str
    at: int
    cause: str
    """Message id of the event that joined the two."""


@dataclass(frozen=True, slots=True)
class Refused:
    """An identifier that an event carried and that was left out of the profile."""

    type: str
    value: str
    reason: str
    at: int
    source_id: str
    message_id: str


@dataclass(frozen=True, slots=True)
class Card:
    """Everything about one profile; of an erased one nothing but that is left."""

    asked: str
    """The profile that was meant; it may be folded into the one that is shown."""
    profile_id: str
    created_at: int
    erased_at: int | None
    identifiers: Sequence[Linked]
    folded: Sequence[Folded]
    refused: Sequence[Refused]
    segments: Sequence[str] | None
    """Where it is a member now; None where no router has run."""


_PROFILE = """
select w.id as profile_id, w.created_at, w.erased_at
from identity.profiles p join identity.profiles w on w.id = coalesce(p.merged_into, p.id)
where p.id = $1
"""
_IDENTIFIERS = """
select type, value, first_seen, last_seen, source_id, message_id from identity.identifiers
where profile_id = $1 and type <> $2 order by type, first_seen, value
"""
_FOLDED = """
select p.id, m.at, m.message_id
from identity.profiles p join identity.merges m on m.loser = p.id
where p.merged_into = $1 order by m.at, p.id
"""
_REFUSED = """
select distinct on (r.type, r.value, r.reason)
    r.type, r.value, r.reason, r.at, r.source_id, r.message_id
from identity.refusals r
where r.type <> $2 and (r.profile_id = $1
   or r.profile_id in (select id from identity.profiles where merged_into = $1))
order by r.type, r.value, r.reason, r.at
"""
_SEGMENTS = """
select segment_id from activator.memberships where profile_id = $1 and member order by segment_id
"""


def card_of(dsn: str, text: str) -> Card:
    """The profile with this id or identifier; a folded one is shown as its survivor.

    Raises:
        NotFound: nobody is meant, or more than one, or the graph cannot be asked.
    """
    return asyncio.run(_card(dsn, find_profile(dsn, text)))


async def _card(dsn: str, asked: str) -> Card:
    try:
        connection: Any = await asyncpg.connect(dsn, timeout=TIMEOUT_S)
    except AWAY as error:
        raise NotFound("PostgreSQL does not answer: set AFFLUX_POSTGRES_DSN") from error
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            return await _read(connection, asked)
    except asyncpg.UndefinedTableError as error:
        raise NotFound("no profiles are known yet") from error
    finally:
        await connection.close()


async def _read(connection: Any, asked: str) -> Card:
    profile = await connection.fetchrow(_PROFILE, asked)
    if profile is None:
        raise NotFound("there is no such profile")
    id_ = profile["profile_id"]
    has_views = await connection.fetchval("select to_regclass('activator.memberships')")
    return Card(
        asked=asked,
        **dict(profile),
        identifiers=[Linked(*row) for row in await connection.fetch(_IDENTIFIERS, id_, ALIAS)],
        folded=[Folded(*row) for row in await connection.fetch(_FOLDED, id_)],
        refused=[Refused(*row) for row in await connection.fetch(_REFUSED, id_, ALIAS)],
        segments=[row[0] for row in await connection.fetch(_SEGMENTS, id_)] if has_views else None,
    )


def card_lines(card: Card) -> list[str]:
    """What is said in sentences."""
    lines = [f"profile {card.profile_id}, created {instant(card.created_at)}"]
    if card.asked != card.profile_id:
        lines.insert(0, f"{card.asked} was folded into it:")
    if card.erased_at is not None:
        return [*lines, f"erased: what was received until {instant(card.erased_at)} is forgotten"]
    if card.segments is None:
        return [*lines, "segments: not known, for no router has run here"]
    return [*lines, f"segments: {', '.join(card.segments) or 'none'}"]


def card_tables(card: Card) -> list[Table]:
    """Identifiers, folded profiles and refusals, as far as there are any."""
    linked = Table("type", "identifier", "first seen", "last seen (to the hour)", "linked by")
    for each in card.identifiers:
        seen = (instant(each.first_seen), instant(each.last_seen))
        linked.add_row(each.type, each.value, *seen, _event(each))
    folded = Table("folded profile", "at", "cause")
    for part in card.folded:
        folded.add_row(part.profile_id, instant(part.at), part.cause)
    refused = Table("refused", "identifier", "reason", "at", "event")
    for left_out in card.refused:
        at = instant(left_out.at)
        refused.add_row(left_out.type, left_out.value, left_out.reason, at, _event(left_out))
    return [table for table in (linked, folded, refused) if table.row_count]


def _event(said: Linked | Refused) -> str:
    return f"{said.source_id} {said.message_id}"
