"""What the activator forgets of people who were erased, as soon as their destinations know.

A removal that a destination must be told of needs the identifiers under which it was told before;
so the ledger keeps them until the removal has come to its end, and no longer.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Removal:
    """An exit by erasure that a destination is told of; done when the ledger says so."""

    regulation_id: str
    destination_id: str
    audience_id: str
    profile_id: str
    version: int


_FORGET_PROFILES = """
with recursive person (profile_id) as (
    select unnest($1::text[])
    union
    select p.profile_id from activator.profiles p join person on p.merged_into = person.profile_id
), gone as (delete from activator.profiles where profile_id in (select profile_id from person))
insert into activator.erased (profile_id) select profile_id from person
on conflict (profile_id) do nothing
"""

_EXPECT = """
insert into activator.removals
    (regulation_id, destination_id, audience_id, profile_id, version)
select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[])
on conflict do nothing
"""

_END_REMOVALS = """
update activator.removals r
set status = case when l.outcome = 'permanent' then 'FAILED' else 'FINISHED' end,
    reason = l.reason, finished_at = now()
from activator.ledger l
where r.status = 'RUNNING' and l.destination_id = r.destination_id
  and l.audience_id = r.audience_id and l.profile_id = r.profile_id and l.version >= r.version
  and (l.outcome in ('delivered', 'skipped', 'permanent') or l.outcome = 'accepted'
    and not exists (
      select from activator.job_items i
      where i.destination_id = l.destination_id and i.profile_id = l.profile_id))
"""

_END_UNREACHABLE = """
update activator.removals set status = 'NOT_SUPPORTED', reason = 'not_in_force', finished_at = now()
where status = 'RUNNING' and not destination_id = any($1)
"""

_OPEN = """exists (
    select from activator.removals r
    where r.profile_id = l.profile_id and r.destination_id = l.destination_id
      and r.audience_id = l.audience_id and r.status = 'RUNNING')"""

_LEAVING = """exists (
    select from activator.memberships m where m.profile_id = x.profile_id and m.member)"""

_BLANK_LEDGER = f"""
update activator.ledger l
set payload = null, sent_identifiers = null, next_attempt_at = null,
    outcome = case when l.payload is null then l.outcome else 'skipped' end,
    reason = case when l.payload is null then l.reason else 'erased' end
from activator.erased x
where not x.settled and l.profile_id = x.profile_id and not {_LEAVING} and not {_OPEN}
  and (l.payload is not null or l.sent_identifiers is not null)
  and (l.outcome is not null or not l.destination_id = any($1))
"""  # noqa: S608 - constants

_UNNEEDED = f"""
where k.profile_id = x.profile_id and not x.settled and not {_LEAVING} and not exists (
    select from activator.removals r where r.profile_id = k.profile_id
      and r.destination_id = k.destination_id and r.status = 'RUNNING')
"""
_FORGET_VENDOR_IDS = f"delete from activator.vendor_ids k using activator.erased x {_UNNEEDED}"  # noqa: S608
_FORGET_JOB_ITEMS = f"delete from activator.job_items k using activator.erased x {_UNNEEDED}"  # noqa: S608

_FORGET_MEMBERSHIPS = """
delete from activator.memberships m using activator.erased x
where m.profile_id = x.profile_id and not x.settled and not m.member
"""

_SETTLE = f"""
update activator.erased x set settled = true
where not x.settled and not {_LEAVING} and not exists (
    select from activator.ledger l where l.profile_id = x.profile_id
      and (l.payload is not null or l.sent_identifiers is not null))
  and not exists (
    select from activator.removals r where r.profile_id = x.profile_id and r.status = 'RUNNING')
"""  # noqa: S608 - constants


async def forget_profiles(connection: Any, profile_ids: Collection[str]) -> None:
    """Take them, and whom they absorbed, out of the views."""
    await connection.execute(_FORGET_PROFILES, list(profile_ids))


async def expect(connection: Any, removals: Sequence[Removal]) -> None:
    """Write down what the destinations are being told."""
    rows = [
        (r.regulation_id, r.destination_id, r.audience_id, r.profile_id, r.version)
        for r in removals
    ]
    await connection.execute(_EXPECT, *(list(column) for column in zip(*rows, strict=True)))


async def settle(connection: Any, destinations: Collection[str]) -> bool:
    """Forget what no destination in force needs any more; whether that was everything."""
    await connection.execute(_END_REMOVALS)
    await connection.execute(_END_UNREACHABLE, list(destinations))
    await connection.execute(_BLANK_LEDGER, list(destinations))
    await connection.execute(_FORGET_VENDOR_IDS)
    await connection.execute(_FORGET_JOB_ITEMS)
    await connection.execute(_FORGET_MEMBERSHIPS)
    await connection.execute(_SETTLE)
    left: int = await connection.fetchval("select count(*) from activator.erased where not settled")
    return left == 0
