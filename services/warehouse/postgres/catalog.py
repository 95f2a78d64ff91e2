"""What the customer's catalog says: tables and their keys, types, the publication, the slot."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from services.warehouse.domain.postgres.pgoutput import Column
from services.warehouse.domain.postgres.values import Decode, array_of, decoder_of

_TABLE = """
select n.nspname || '.' || c.relname as relation, c.relreplident::text as identity,
    c.reltuples::float8 as rows,
    (select array_agg(a.attname::text order by array_position(i.indkey::int2[], a.attnum))
       from pg_index i join pg_attribute a on a.attrelid = c.oid and a.attnum = any(i.indkey)
      where i.indrelid = c.oid and i.indisreplident) as identity_key,
    (select array_agg(a.attname::text order by array_position(i.indkey::int2[], a.attnum))
       from pg_index i join pg_attribute a on a.attrelid = c.oid and a.attnum = any(i.indkey)
      where i.indrelid = c.oid and i.indisprimary) as primary_key,
    (select array_agg(a.attname::text order by a.attnum) from pg_attribute a
      where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        and a.attgenerated = '') as columns,
    (select array_agg(a.atttypid::int8 order by a.attnum) from pg_attribute a
      where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        and a.attgenerated = '') as types,
    has_table_privilege(c.oid, 'SELECT') as may_select
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p') and n.nspname || '.' || c.relname = any($1::text[])
"""
_TYPES = """
with recursive base(oid, typ) as (
    select t.oid, t.oid from pg_type t where t.oid = any($1::oid[])
    union all
    select b.oid, t.typbasetype from base b join pg_type t on t.oid = b.typ
     where t.typtype = 'd'
)
select b.oid::int8 as oid, t.oid::int8 as base,
    case when t.typcategory = 'A' then t.typelem::int8 else 0 end as item
from base b join pg_type t on t.oid = b.typ where t.typtype <> 'd'
"""
_SLOT = """
select plugin, database = current_database() as here, active, wal_status,
    (confirmed_flush_lsn - '0/0')::int8 as confirmed,
    (pg_current_wal_flush_lsn() - restart_lsn)::int8 as retained, safe_wal_size as spare
from pg_replication_slots where slot_name = $1
"""
_SYSTEM = """
select system_identifier::text as id, (select timeline_id from pg_control_checkpoint()) as timeline,
    (pg_current_wal_flush_lsn() - '0/0')::int8 as flushed,
    (extract(epoch from clock_timestamp()) * 1000)::int8 as now
from pg_control_system()
"""
_STANDBYS = """
select exists (
    select from pg_stat_replication r
     where not exists (select from pg_replication_slots s
                        where s.active_pid = r.pid and s.slot_type = 'logical'))
"""
FAILOVER = 170_000
"""The version from which on a slot can outlive a failover."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table as it is now."""

    relation: str
    identity: str
    """`d` primary key, `n` nothing, `f` full, `i` an index."""
    rows: float
    """As the planner guesses; negative when nobody counted."""
    key: tuple[str, ...]
    """Of the replica identity's index, else of the primary key; empty when there is none."""
    columns: tuple[Column, ...]
    may_select: bool


@dataclass(frozen=True, slots=True)
class Slot:
    """Our replication slot."""

    plugin: str
    here: bool
    """Whether it belongs to this database."""
    active: bool
    wal_status: str | None
    confirmed: int | None
    retained: int | None
    """Bytes of log that it keeps."""
    spare: int | None
    """Bytes of log that may still be written before it is lost; None where there is no limit."""


@dataclass(frozen=True, slots=True)
class System:
    """Which history this is."""

    id: str
    timeline: int
    flushed: int
    """Log position up to which everything is durable."""
    now: int
    """The server's clock, Unix milliseconds."""


async def tables(session: Any, relations: Collection[str]) -> Mapping[str, Table]:
    """Those that exist, by `schema.table`."""
    rows = await session.fetch(_TABLE, list(relations))
    return {row["relation"]: _table(row) for row in rows}


def _table(row: Any) -> Table:
    indexed = row["identity_key"] if row["identity"] == "i" else row["primary_key"]
    names: Sequence[str] = row["columns"] or ()
    return Table(
        relation=row["relation"],
        identity=row["identity"],
        rows=row["rows"],
        key=tuple(indexed or ()),
        columns=tuple(Column(n, oid) for n, oid in zip(names, row["types"] or (), strict=True)),
        may_select=row["may_select"],
    )


async def system(session: Any) -> System:
    row = await session.fetchrow(_SYSTEM)
    return System(row["id"], row["timeline"], row["flushed"], row["now"])


async def slot(session: Any, name: str) -> Slot | None:
    row = await session.fetchrow(_SLOT, name)
    return None if row is None else Slot(*row.values())


async def has_standbys(session: Any) -> bool:
    """Whether anybody follows the server's log as a whole."""
    return bool(await session.fetchval(_STANDBYS))


async def publication_numbers(session: Any, publication: str) -> tuple[int, Mapping[str, int]]:
    """The catalog's number of the publication, and of each table that is listed in it: what was
    dropped and made anew has another, and what changed in between was published to nobody."""
    number = await session.fetchval(
        "select oid::int8 from pg_publication where pubname = $1", publication
    )
    rows = await session.fetch(
        "select n.nspname || '.' || c.relname, r.oid::int8 from pg_publication_rel r"
        " join pg_class c on c.oid = r.prrelid join pg_namespace n on n.oid = c.relnamespace"
        " where r.prpubid = $1::int8::oid",
        number or 0,
    )
    return number or 0, dict(map(tuple, rows))


async def publishes(session: Any, publication: str) -> frozenset[str] | None:
    """The tables in it; None when there is no such publication."""
    if not await session.fetchval("select 1 from pg_publication where pubname = $1", publication):
        return None
    rows = await session.fetch(
        "select schemaname || '.' || tablename from pg_publication_tables where pubname = $1",
        publication,
    )
    return frozenset(row[0] for row in rows)


class Decoders:
    """By type number: domains are what they are made of, arrays hold items."""

    def __init__(self) -> None:
        self._known: dict[int, Decode] = {}
        self._bases: dict[int, int] = {}

    def __call__(self, oid: int) -> Decode:
        return self._known.get(oid) or decoder_of(oid)

    async def learn(self, session: Any, columns: Collection[Column]) -> None:
        """Ask for the types that were not met before."""
        unknown = {column.type_oid for column in columns} - self._known.keys()
        if not unknown:
            return
        rows = await session.fetch(_TYPES, list(unknown))
        bases = {row["oid"]: row for row in rows}
        items = {row["item"] for row in rows} - {0, *bases}
        below = await session.fetch(_TYPES, list(items)) if items else ()
        item_bases = {row["oid"]: row["base"] for row in (*rows, *below)}
        for oid in unknown:
            row = bases.get(oid)
            if row is None:
                self._known[oid] = decoder_of(oid)
            elif row["item"]:
                self._known[oid] = array_of(decoder_of(item_bases[row["item"]]))
            else:
                self._known[oid] = decoder_of(row["base"])
                self._bases[oid] = row["base"]

    def plain(self, table: Table) -> Table:
        """The table with what its domains are made of."""
        columns = (Column(c.name, self._bases.get(c.type_oid, c.type_oid)) for c in table.columns)
        return replace(table, columns=tuple(columns))
