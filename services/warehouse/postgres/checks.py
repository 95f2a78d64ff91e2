"""The setup check: everything that an administrator must grant or make, with the reason for it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from services.warehouse.domain.asked import Setup
from services.warehouse.domain.model import Model
from services.warehouse.domain.postgres.values import ORDERED, is_text
from services.warehouse.domain.source import PostgresSource
from services.warehouse.postgres import catalog
from services.warehouse.postgres.catalog import Table
from services.warehouse.postgres.sql import quoted, quoted_relation

OLDEST = 140_000


async def problems(
    session: Any, source: PostgresSource, models: Sequence[Model]
) -> Sequence[Setup]:
    """All of them at once; empty when the database is ready. What makes the customer's own writes
    fail once a table is published comes before the statement that publishes it."""
    relations = {model.origin: model.key for model in models}
    published = await catalog.publishes(session, source.publication)
    tables = await catalog.tables(session, relations)
    decoders = catalog.Decoders()
    for table in tables.values():
        await decoders.learn(session, table.columns)
    found = [
        *await _server(session),
        *(
            problem
            for relation, key in relations.items()
            for problem in _table(
                relation, key, source, table=_plain(tables.get(relation), decoders)
            )
        ),
        *_publication(source, published, relations),
    ]
    if published is not None:
        found += await _publication_details(session, source, relations)
    return found


def _plain(table: Table | None, decoders: catalog.Decoders) -> Table | None:
    return None if table is None else decoders.plain(table)


async def _server(session: Any) -> Sequence[Setup]:
    found = []
    version = int(await session.fetchval("show server_version_num"))
    if version < OLDEST:
        found.append(
            Setup("server_too_old", f"the server is version {version // 10_000}", "14 is needed")
        )
    if (level := await session.fetchval("show wal_level")) != "logical":
        found.append(
            Setup(
                "wal_level",
                f"wal_level is {level}: row changes are not in the log",
                "alter system set wal_level = logical; then restart the server",
            )
        )
    user, may = await session.fetchrow(
        "select current_user::text, rolreplication or rolsuper from pg_roles"
        " where rolname = current_user"
    )
    if not may:
        found.append(
            Setup(
                "replication_missing",
                f"the role {user} may not read the log",
                f"alter role {quoted(user)} replication; it then sees every published table,"
                " whatever it may SELECT",
            )
        )
    if await session.fetchval("show max_slot_wal_keep_size") == "-1":
        found.append(
            Setup(
                "wal_unlimited",
                "max_slot_wal_keep_size is -1: a slot that nobody reads fills the disk",
                "alter system set max_slot_wal_keep_size = '50GB'; then select pg_reload_conf()",
                fatal=False,
            )
        )
    if version < catalog.FAILOVER and await catalog.has_standbys(session):
        found.append(
            Setup(
                "failover_costs_snapshot",
                "the server has standbys, and before version 17 a slot does not outlive a failover",
                "after a failover raise `generation` of the source, which reads everything anew",
                fatal=False,
            )
        )
    return found


def _publication(
    source: PostgresSource, published: frozenset[str] | None, relations: Mapping[str, Any]
) -> Iterator[Setup]:
    missing = sorted(relations.keys() - (published or frozenset()))
    name = quoted(source.publication)
    listed = ", ".join(quoted_relation(relation) for relation in missing)
    if published is None:
        yield Setup(
            "publication_missing",
            f"there is no publication {source.publication}",
            f"create publication {name} for table {listed}",
        )
    elif missing:
        yield Setup(
            "table_not_published",
            f"the publication {source.publication} lacks {', '.join(missing)}",
            f"alter publication {name} add table {listed}",
        )


def _table(
    relation: str, declared: Sequence[str], source: PostgresSource, *, table: Table | None
) -> Iterator[Setup]:
    if table is None:
        yield Setup(
            "table_missing",
            f"there is no table {relation}, or the role may not see its schema",
            f"mend `relation` of the model, or grant usage on schema"
            f" {quoted(relation.split('.', 1)[0])}",
        )
        return
    if not table.may_select:
        yield Setup(
            "select_missing",
            f"the role may not read {relation}, which the snapshot needs",
            f"grant select on {quoted_relation(relation)} to the role",
        )
    if table.identity == "n" or (not table.key and table.identity != "f"):
        yield Setup(
            "no_replica_identity",
            f"{relation} has no primary key and no replica identity: publishing it makes its"
            " UPDATE and DELETE fail",
            f"add a primary key, or alter table {quoted_relation(relation)} replica identity full",
        )
    elif not table.key and not declared:
        yield Setup(
            "key_missing",
            f"{relation} has no primary key",
            "name the columns that tell rows apart in `key` of the model",
        )
    if source.replica_identity == "full" and table.identity != "f":
        yield Setup(
            "not_full",
            f"the source says `replica_identity: full`, and {relation} has another",
            f"alter table {quoted_relation(relation)} replica identity full",
        )
    types = {column.name: column.type_oid for column in table.columns}
    for name in table.key or declared:
        if name in types and types[name] not in ORDERED and not is_text(types[name]):
            yield Setup(
                "key_type",
                f"the column {name} of {relation} is of a type by which rows cannot be told apart",
                "use a key of numbers, text, uuid, dates or timestamps",
            )


async def _publication_details(
    session: Any, source: PostgresSource, relations: Mapping[str, Any]
) -> Sequence[Setup]:
    """Row filters and column lists, which came with version 15, must be covered by the identity."""
    if int(await session.fetchval("show server_version_num")) < 150_000:
        return ()
    rows = await session.fetch(
        "select p.schemaname || '.' || p.tablename as relation,"
        " p.attnames::text[] as listed,"
        " (select array_agg(a.attname::text) from pg_publication q join pg_publication_rel r"
        "   on r.prpubid = q.oid and r.prrelid = c.oid"
        "   cross join regexp_matches(r.prqual::text, ':varattno (\\d+)', 'g') m"
        "   join pg_attribute a on a.attrelid = c.oid and a.attnum = m[1]::int"
        "  where q.pubname = p.pubname) as filtered_by,"
        " (select array_agg(a.attname::text) from pg_index i join pg_attribute a"
        "   on a.attrelid = i.indrelid and a.attnum = any(i.indkey)"
        "  where i.indrelid = c.oid and (i.indisreplident or (c.relreplident = 'd'"
        "   and i.indisprimary))) as identity, c.relreplident = 'f' as is_full"
        " from pg_publication_tables p join pg_namespace n on n.nspname = p.schemaname"
        " join pg_class c on c.relnamespace = n.oid and c.relname = p.tablename"
        " where p.pubname = $1 and p.schemaname || '.' || p.tablename = any($2::text[])",
        source.publication,
        list(relations),
    )
    found = []
    for row in rows:
        uncovered = set(row["identity"] or ()) - set(row["listed"] or ())
        if row["listed"] is not None and uncovered:
            found.append(
                Setup(
                    "identity_not_published",
                    f"the publication's column list of {row['relation']} lacks"
                    f" {', '.join(sorted(uncovered))} of its replica identity",
                    "add the columns to the list: without them UPDATE and DELETE fail there",
                )
            )
        unknown = set(row["filtered_by"] or ()) - set(row["identity"] or ())
        if unknown and not row["is_full"]:
            found.append(
                Setup(
                    "row_filter",
                    f"the publication filters the rows of {row['relation']} by"
                    f" {', '.join(sorted(unknown))}, which its replica identity does not hold",
                    "filter by columns of the replica identity alone: UPDATE and DELETE fail there",
                )
            )
    return found
