"""What is read from the identity graph in PostgreSQL, for a batch of identifiers at once."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from schemas.records import Identifier
from services.identity.cache import Known
from services.identity.domain.batch import Snapshot
from services.identity.domain.graph import Graph, Profile
from services.identity.domain.ids import profile_id


async def holders_of(
    connection: Any, identifiers: Collection[Identifier]
) -> Mapping[Identifier, Known]:
    rows = await connection.fetch(
        "select i.type, i.value, i.profile_id, i.last_seen, coalesce(e.at, -1)"
        " from identity.identifiers i"
        " join unnest($1::text[], $2::text[]) as wanted (type, value)"
        " on i.type = wanted.type and i.value = wanted.value"
        " left join identity.erased e"
        " on e.type = i.type and e.digest = sha256(convert_to(i.value, 'UTF8'))",
        [i.type for i in identifiers],
        [i.value for i in identifiers],
    )
    return {Identifier(type_, value): Known(*known) for type_, value, *known in rows}


async def snapshot_of(
    connection: Any,
    identifiers: Collection[Identifier],
    holders: Mapping[Identifier, Known],
    decisions: Collection[bytes],
) -> Snapshot:
    graph = Graph()
    graph.holders = {identifier: known.profile_id for identifier, known in holders.items()}
    graph.profiles = await _profiles(connection, {known.profile_id for known in holders.values()})
    graph.taken = await _taken(connection, [i for i in identifiers if i not in holders])
    seen = {identifier: known.seen_at for identifier, known in holders.items()}
    return Snapshot(
        graph,
        seen,
        await _refused(connection, decisions),
        await _erased(connection, identifiers),
    )


async def _profiles(connection: Any, ids: Collection[str]) -> dict[str, Profile]:
    if not ids:
        return {}
    rows = await connection.fetch(
        "select id, created_at, merges from identity.profiles where id = any($1)", list(ids)
    )
    counted = await connection.fetch(
        "select profile_id, type, count(*) from identity.identifiers where profile_id = any($1)"
        " group by profile_id, type",
        list(ids),
    )
    counts: dict[str, dict[str, int]] = {id_: {} for id_ in ids}
    for id_, type_, count in counted:
        counts[id_][type_] = count
    return {id_: Profile(id_, created_at, merges, counts[id_]) for id_, created_at, merges in rows}


async def _taken(connection: Any, unheld: Sequence[Identifier]) -> set[str]:
    """Ids that a new profile for one of these identifiers must not get."""
    taken: set[str] = set()
    attempt = 0
    while unheld:
        wanted = {profile_id(identifier, attempt): identifier for identifier in unheld}
        rows = await connection.fetch(
            "select id from identity.profiles where id = any($1)", list(wanted)
        )
        taken |= {row["id"] for row in rows}
        unheld = [wanted[row["id"]] for row in rows]
        attempt += 1
    return taken


async def _erased(connection: Any, identifiers: Collection[Identifier]) -> Mapping[Identifier, int]:
    rows = await connection.fetch(
        "select w.type, w.value, e.at from unnest($1::text[], $2::text[]) as w (type, value)"
        " join identity.erased e"
        " on e.type = w.type and e.digest = sha256(convert_to(w.value, 'UTF8'))",
        [i.type for i in identifiers],
        [i.value for i in identifiers],
    )
    return {Identifier(type_, value): at for type_, value, at in rows}


async def _refused(
    connection: Any, decisions: Collection[bytes]
) -> dict[bytes, frozenset[Identifier]]:
    rows = await connection.fetch(
        "select decision, type, value from identity.refusals where decision = any($1)",
        list(decisions),
    )
    refused: dict[bytes, frozenset[Identifier]] = {}
    for decision, type_, value in rows:
        refused[decision] = refused.get(decision, frozenset()) | {Identifier(type_, value)}
    return refused
