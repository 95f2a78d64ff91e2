"""What a request to forget people does to the graph in PostgreSQL; their rows are locked already.

The ids of their profiles stay, so that nobody else is ever given one. Their identifiers stay for a
month as digests, so that what was received before the request and is handled only now is dropped.
"""

from collections.abc import Collection, Sequence
from typing import Any

from schemas.records import ErasureRequested, Identifier
from services.identity.domain.batch import Erased

_REMEMBER = """
insert into identity.erased (digest, type, regulation_id, at)
select distinct sha256(convert_to(value, 'UTF8')), type, $3, $4::bigint
from unnest($1::text[], $2::text[]) as gone (type, value)
on conflict (digest, type) do update
set at = greatest(identity.erased.at, excluded.at), regulation_id = excluded.regulation_id,
    written = excluded.written
"""
_FORGET_LATER = "delete from identity.erased where written < now() - interval '30 days'"
_REFUSED_THEM = """
delete from identity.refusals r using unnest($1::text[], $2::text[]) as gone (type, value)
where gone.type = r.type and gone.value = r.value
"""
_BLANK = """
update identity.profiles
set source_id = '', message_id = '', merged_into = null, merges = 0, erased_at = $2
where id = any($1)
"""
_TO_SAY = """
insert into identity.outbox (id, worker, loser, cause, at, destinations)
select $2 || ' ' || profile_id, $3, profile_id, $2, $4, $5 from unnest($1::text[]) as profile_id
on conflict do nothing
"""


async def erase(
    connection: Any, request: ErasureRequested, holders: Collection[str], worker: int
) -> Erased:
    """Forget these profiles and whom they absorbed, unless the request was met before."""
    known = await connection.fetchval(
        "select profiles from identity.erasures where erasure_id = $1", request.erasure_id
    )
    if known is not None:
        return Erased(tuple(known), is_new=False)
    profile_ids = sorted(holders)
    await _remove(connection, request, profile_ids)
    await connection.execute(
        "insert into identity.erasures (erasure_id, regulation_id, at, profiles)"
        " values ($1, $2, $3, $4)",
        *(request.erasure_id, request.regulation_id, request.at, profile_ids),
    )
    said = (profile_ids, request.regulation_id, worker, request.at, request.destinations)
    await connection.execute(_TO_SAY, *said)
    return Erased(tuple(profile_ids), is_new=True)


async def _remove(connection: Any, request: ErasureRequested, profile_ids: Sequence[str]) -> None:
    rows = await connection.fetch(
        "delete from identity.identifiers where profile_id = any($1) returning type, value",
        profile_ids,
    )
    gone = {*request.subjects, *(Identifier(type_, value) for type_, value in rows)}
    columns = [i.type for i in gone], [i.value for i in gone]
    folded = await connection.fetch(
        "select id from identity.profiles where merged_into = any($1)", profile_ids
    )
    everyone = [*profile_ids, *(row["id"] for row in folded)]
    await connection.execute(_REMEMBER, *columns, request.regulation_id, request.at)
    await connection.execute(_FORGET_LATER)
    await connection.execute(_REFUSED_THEM, *columns)
    await connection.execute("delete from identity.refusals where profile_id = any($1)", everyone)
    await connection.execute(_BLANK, everyone, request.at)
    await connection.execute(
        "delete from identity.merges where loser = any($1) or winner = any($1)", everyone
    )
