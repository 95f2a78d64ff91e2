"""After a merge: what was sent of the loser is the survivor's to keep or to remove.

Without it a removal of the loser could take out the very identifiers under which the survivor is a
member, and nobody would remove them when the survivor is none.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec

from schemas.codec import encode
from schemas.records import Activation
from services.activator.domain.change import Change, Person
from services.activator.domain.person import joined

_LOSER = """
select sent_identifiers from activator.ledger
where destination_id = $1 and audience_id = $2 and profile_id = $3 and touched for update
"""
_SURVIVOR = """
select profile_id, version, member, sent_identifiers, inherited_by from activator.ledger
where destination_id = $1 and audience_id = $2 and profile_id = $3 for update
"""
_GIVE_UP = """
update activator.ledger set touched = false, sent_identifiers = null, payload = null,
    outcome = 'skipped', reason = 'inherited', next_attempt_at = null, inherited_by = $4,
    updated_at = $5
where destination_id = $1 and audience_id = $2 and profile_id = $3
"""
_TAKE_OVER = """
insert into activator.ledger as l
    (destination_id, audience_id, profile_id, version, member, operation, idempotency_key, outcome,
     reason, touched, sent_identifiers, updated_at)
values ($1, $2, $3, 0, false, 'remove_member', '', 'skipped', 'inherited', true, $4::jsonb, $5)
on conflict (destination_id, audience_id, profile_id) do update set
    touched = true, sent_identifiers = excluded.sent_identifiers
"""
_REMOVE = """
update activator.ledger set member = false, operation = 'remove_member', outcome = 'retry',
    reason = 'inherited', attempts = 0, next_attempt_at = $4, payload = $5, updated_at = $4
where destination_id = $1 and audience_id = $2 and profile_id = $3
"""
_VENDOR_ID = """
insert into activator.vendor_ids
select destination_id, $3, vendor_id from activator.vendor_ids
where destination_id = $1 and profile_id = $2
on conflict do nothing
"""


async def inherit(
    connection: Any, destination_id: str, exits: Iterable[Change], now: datetime
) -> None:
    """Pass the rows of merged profiles on, each in one transaction with all that follows."""
    for change in exits:
        if change.merged_into is not None and change.audience_id is not None:
            async with connection.transaction():
                await _pass_on(connection, destination_id, change, now)


async def _pass_on(connection: Any, destination_id: str, change: Change, now: datetime) -> None:
    place = (destination_id, change.audience_id)
    row = await connection.fetchrow(_LOSER, *place, change.profile_id)
    if row is None or row["sent_identifiers"] is None:
        return
    sent = msgspec.json.decode(row["sent_identifiers"], type=Person)
    survivor, known = await _survivor(connection, place, str(change.merged_into))
    await connection.execute(_GIVE_UP, *place, change.profile_id, survivor, now)
    if known is not None and known["sent_identifiers"] is not None:
        sent = joined(sent, msgspec.json.decode(known["sent_identifiers"], type=Person))
    stored = msgspec.json.encode(sent)
    await connection.execute(_TAKE_OVER, *place, survivor, stored.decode(), now)
    await connection.execute(_VENDOR_ID, destination_id, change.profile_id, survivor)
    if known is None or not known["member"]:
        version = 0 if known is None else known["version"]
        removal = _removal(change, survivor, version, stored)
        await connection.execute(_REMOVE, *place, survivor, now, encode(removal))


async def _survivor(connection: Any, place: tuple[Any, ...], profile_id: str) -> tuple[str, Any]:
    """Who holds the rows in the end, whichever merge was told of first."""
    while True:
        row = await connection.fetchrow(_SURVIVOR, *place, profile_id)
        if row is None or row["inherited_by"] is None:
            return profile_id, row
        profile_id = row["inherited_by"]


def _removal(change: Change, survivor: str, version: int, person: bytes) -> Activation:
    """Takes out what the loser left; an entry of the survivor is newer and replaces it."""
    return Activation(
        destination_id=change.destination_id,
        kind="membership",
        profile_id=survivor,
        audience_id=change.audience_id,
        member=False,
        version=version,
        occurred_at=change.occurred_at,
        cause="merge",
        profile=person,
    )
