"""What an operator may do about a destination: end its pause, mend drift, give up or try again.

All of it is written into the ledger, from which the running sender takes it up within a second.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from schemas.codec import encode
from schemas.records import Activation
from services.activator.domain.change import version_of


@dataclass(frozen=True, slots=True)
class Drift:
    """How far the platform's audience, as the ledger knows it, is from the segment."""

    audience_id: str
    members: int
    """Of the segment."""
    there: int
    """Of them, and known to be in at the platform."""
    waiting: int
    """Changes that are on their way."""
    withheld: int
    """Members that consent or the platform keeps out."""
    missing: tuple[str, ...]
    """Profiles that should be in and were never sent."""
    extra: tuple[str, ...]
    """Profiles that may be in and should not be."""


async def paused(connection: Any, destination_id: str) -> str | None:
    """Why the destination is paused; None when it is not."""
    row = await connection.fetchrow(
        "select state, reason from activator.destination_states where destination_id = $1",
        destination_id,
    )
    return None if row is None else f"{row['state']}: {row['reason']}"


async def resume(connection: Any, destination_id: str) -> bool:
    """End the pause; whether there was one."""
    gone: str = await connection.execute(
        "delete from activator.destination_states where destination_id = $1", destination_id
    )
    return gone != "DELETE 0"


_STAND = """
select coalesce(m.profile_id, l.profile_id) as profile_id, coalesce(m.member, false) as wanted,
       l.touched, l.member as last, l.outcome, l.reason
from (select profile_id, member from activator.memberships where segment_id = $2) m
full join (select * from activator.ledger where destination_id = $1 and audience_id = $2) l
  on l.profile_id = m.profile_id
"""
_WAITING = frozenset({"retry", "throttled", "auth", "config"})


async def drift(connection: Any, destination_id: str, audience_id: str) -> Drift:
    """Compare segment and ledger, profile by profile."""
    rows = await connection.fetch(_STAND, destination_id, audience_id)
    wanted = [row for row in rows if row["wanted"]]
    waiting = [row for row in rows if row["outcome"] in _WAITING]
    there = [row for row in wanted if row["last"] and row["outcome"] in ("delivered", "accepted")]
    withheld = [row for row in wanted if row["outcome"] in ("skipped", "permanent")]
    settled = {row["profile_id"] for row in (*waiting, *there, *withheld)}
    return Drift(
        audience_id=audience_id,
        members=len(wanted),
        there=len(there),
        waiting=len(waiting),
        withheld=len(withheld),
        missing=tuple(row["profile_id"] for row in wanted if row["profile_id"] not in settled),
        extra=tuple(
            row["profile_id"]
            for row in rows
            if row["touched"] and not row["wanted"] and not _is_leaving(row)
        ),
    )


def _is_leaving(row: Mapping[str, Any]) -> bool:
    """Whether the platform is being told, or has taken on a job of which the end is not known."""
    is_taken_on = row["outcome"] == "accepted" and not row["last"]
    return row["outcome"] in _WAITING or is_taken_on


async def members(connection: Any, audience_id: str) -> Sequence[str]:
    """Who is in the segment now."""
    rows = await connection.fetch(
        "select profile_id from activator.memberships where segment_id = $1 and member",
        audience_id,
    )
    return [row["profile_id"] for row in rows]


_ENQUEUE = """
insert into activator.ledger as l
    (destination_id, audience_id, profile_id, version, member, operation, idempotency_key, outcome,
     reason, next_attempt_at, payload, touched, updated_at)
select $1, $2, c.profile_id, c.version, $5, $6, '', 'retry', 'reconciled', $8, c.payload, $5,
       $8
from unnest($3::text[], $4::bigint[], $7::bytea[]) as c(profile_id, version, payload)
on conflict (destination_id, audience_id, profile_id) do update set
    version = greatest(l.version, excluded.version), member = excluded.member,
    operation = excluded.operation, outcome = 'retry', reason = 'reconciled', attempts = 0,
    next_attempt_at = excluded.next_attempt_at, payload = excluded.payload,
    touched = l.touched or excluded.touched
"""
_SUBJECTS = """
select p.profile_id, coalesce(m.sequence, 0) as sequence, coalesce(l.version, 0) as version,
       p.identifiers, p.traits, p.consent, l.sent_identifiers
from unnest($3::text[]) as w(profile_id)
left join activator.profiles p using (profile_id)
left join activator.memberships m on m.segment_id = $2 and m.profile_id = w.profile_id
left join activator.ledger l
  on l.destination_id = $1 and l.audience_id = $2 and l.profile_id = w.profile_id
where p.profile_id is not null
"""


@dataclass(frozen=True, slots=True)
class Target:
    """One audience of one destination, and the connection to its ledger."""

    connection: Any
    destination_id: str
    audience_id: str
    is_ads: bool


async def enqueue(
    target: Target, profile_ids: Collection[str], *, member: bool, now: datetime
) -> int:
    """Have these sent (again); how many there were."""
    place = (target.destination_id, target.audience_id)
    rows = await target.connection.fetch(_SUBJECTS, *place, list(profile_ids))
    changes = [_activation(target, row, member=member) for row in rows]
    await target.connection.execute(
        _ENQUEUE,
        *place,
        [change.profile_id for change in changes],
        [change.version for change in changes],
        member,
        "add_member" if member else "remove_member",
        [encode(change) for change in changes],
        now,
    )
    return len(changes)


def _activation(target: Target, row: Mapping[str, Any], *, member: bool) -> Activation:
    version = version_of(row["sequence"], 0 if target.is_ads else None)
    person = {
        "identifiers": msgspec.Raw(row["identifiers"].encode()),
        "traits": msgspec.Raw(row["traits"].encode()),
        "consent": msgspec.Raw(row["consent"].encode()),
    }
    return Activation(
        destination_id=target.destination_id,
        kind="membership",
        profile_id=row["profile_id"],
        audience_id=target.audience_id,
        member=member,
        version=max(row["version"], version),
        occurred_at=0,
        cause="event",
        profile=msgspec.json.encode(person),
    )


async def replay(connection: Any, destination_id: str, keys: Sequence[str], now: datetime) -> int:
    """Try again what was given up; how many changes that were."""
    done: str = await connection.execute(
        "update activator.ledger set outcome = 'retry', reason = 'replayed', attempts = 0,"
        " waiting_since = null, next_attempt_at = $3"
        " where destination_id = $1 and idempotency_key = any($2) and outcome = 'permanent'"
        " and payload is not null",
        destination_id,
        list(keys),
        now,
    )
    return int(done.rpartition(" ")[2])


async def discard(connection: Any, destination_id: str, keys: Sequence[str], _now: datetime) -> int:
    """Give up for good, and forget who it was about; how many changes that were."""
    done: str = await connection.execute(
        "update activator.ledger set payload = null, reason = 'discarded'"
        " where destination_id = $1 and idempotency_key = any($2) and outcome = 'permanent'"
        " and payload is not null",
        destination_id,
        list(keys),
    )
    return int(done.rpartition(" ")[2])
