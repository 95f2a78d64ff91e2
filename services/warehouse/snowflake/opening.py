"""A relation's table as its models need it, and what is asked of the table's owner."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from services.runtime.secrets import UnresolvedSecret
from services.runtime.stage import Blocked
from services.warehouse.domain.asked import Asked, Setup, drifted
from services.warehouse.domain.feed import Shape
from services.warehouse.domain.model import Model
from services.warehouse.domain.selected import fingerprint
from services.warehouse.domain.snowflake.names import folded, meant, quoted
from services.warehouse.domain.snowflake.statements import (
    SECOND,
    Read,
    enable_tracking,
    granted,
    probe,
)
from services.warehouse.domain.snowflake.values import TYPES, Column, type_name
from services.warehouse.domain.source import WITHOUT_HISTORY, SnowflakeSource
from services.warehouse.patience import SourceAway
from services.warehouse.relations import by_relation, columns_of, key_missing, key_of
from services.warehouse.snowflake.client import Found, Session, session
from services.warehouse.snowflake.trouble import SENTENCES, blocked


@dataclass(frozen=True, slots=True)
class Table:
    """A table that can be followed."""

    relation: str
    found: Found
    read: Read
    wanted: tuple[str, ...]
    """Columns that the models use; those of `read` are there."""

    @property
    def created(self) -> int:
        """Microseconds since 1970."""
        return self.found.created

    @property
    def present(self) -> tuple[str, ...]:
        return tuple(sorted(column.name for column in self.read.columns))

    def shape(self, source: str, epoch: int) -> Shape:
        used = {column.there for column in self.read.columns}
        return Shape(
            source=source,
            relation=self.relation,
            key=self.read.key,
            columns=self.present,
            epoch=epoch,
            fingerprint=fingerprint(self.found.types),
            unmodelled=frozenset(self.found.types.keys() - used),
        )


async def opened(asking: Session, source: SnowflakeSource, models: Sequence[Model]) -> Table:
    """The table of these models as it is now.

    Raises:
        Blocked: it cannot be followed.
        SourceAway: try again.
    """
    relation, key, wanted = models[0].origin, key_of(models), columns_of(models)
    found = await asking.table(source.address(relation), relation)
    if source.mode == "time_travel" and not found.is_table:
        raise blocked("not_a_table", relation)
    if source.mode == "changes" and not found.is_tracked:
        raise blocked("tracking_disabled", relation)
    names = (*key, *(name for name in wanted if name not in key))
    columns = [column for name in names if (column := _column(name, found, relation)) is not None]
    there = {column.name for column in columns}
    if lacking := [name for name in key if name not in there]:
        raise key_missing(relation, lacking[0])
    return Table(
        relation, found, Read(found.address, tuple(columns), len(key), source.history), wanted
    )


def _column(name: str, found: Found, relation: str) -> Column | None:
    there = meant(name, found.types)
    if there is None:
        return None
    type_ = type_name(found.types[there])
    if type_ not in TYPES:
        raise Blocked(
            "column_type",
            f"{relation}: the column {name} is of type {type_}, which cannot be read: take it out"
            f" of the model, or let a view turn it into one of {', '.join(TYPES)}",
        )
    return Column(name, there, type_)


def asked(source: SnowflakeSource, models: Sequence[Model]) -> Iterator[Asked]:
    """Of the administrator, and of the owner of each table."""
    role, database = quoted(folded(source.role or "afflux")), quoted(folded(source.database))
    user = quoted(folded(source.user))
    yield Asked(f"CREATE ROLE {role}", "it is granted what follows, and nothing else")
    yield Asked(
        f"CREATE USER {user} TYPE = SERVICE DEFAULT_ROLE = {role} RSA_PUBLIC_KEY = '…'",
        "a user of its own, with a key and no password, can be taken back",
    )
    yield Asked(f"GRANT ROLE {role} TO USER {user}", "the user has this role alone")
    if source.warehouse is not None:
        yield Asked(
            granted(f"USAGE ON WAREHOUSE {quoted(folded(source.warehouse))}", role),
            "queries run, and are paid for, in this warehouse",
        )
    yield Asked(granted(f"USAGE ON DATABASE {database}", role), "it holds the tables")
    if any(model.query is not None for model in models):
        yield Asked(
            granted("USAGE ON SCHEMA …, SELECT ON ALL TABLES IN SCHEMA …", role),
            "of the tables and views that the models' queries read",
        )
    for relation in by_relation([model for model in models if model.relation is not None]):
        address = tuple(folded(part) for part in source.address(relation))
        *schema, table = (quoted(part) for part in address)
        yield Asked(granted(f"USAGE ON SCHEMA {'.'.join(schema)}", role), "it holds the table")
        yield Asked(
            granted(f"SELECT ON TABLE {'.'.join((*schema, table))}", role),
            "rows and their history are read; no right to write is needed",
        )
        if source.mode == "changes":
            yield Asked(
                enable_tracking(address),
                "the table keeps what changes; it begins with the statement, and no consumer"
                " of ours is left in the account",
            )


async def problems(source: SnowflakeSource, models: Sequence[Model]) -> Sequence[Setup]:
    """All that is not as it must be, table by table."""
    try:
        async with session(source) as asking:
            return [
                problem
                for own in by_relation(models).values()
                async for problem in _of(asking, source, own)
            ]
    except (UnresolvedSecret, SourceAway) as error:
        sentence = f"Snowflake cannot be reached: {error}"
        return (Setup("unreachable", sentence, _REMEDIES["unreachable"]),)


async def _of(
    asking: Session, source: SnowflakeSource, models: Sequence[Model]
) -> AsyncIterator[Setup]:
    """One query of the mode is really run, for rights and policies show only then."""
    try:
        table = await opened(asking, source, models)
        end = await asking.now() - source.lag_seconds * SECOND
        if table.found.created < end - SECOND:
            async for _ in asking.pages(probe(table.read, end), table.relation):
                pass
    except Blocked as found:
        yield Setup(found.reason, str(found), _REMEDIES[found.reason])
    else:
        for problem in drifted(table.relation, table.wanted, table.present):
            yield problem


_REMEDIES: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(SENTENCES, "compare the models with the table"),
        "table_missing": "mend `tables` or `database` of the source, or grant the role SELECT",
        "not_a_table": f"mode: changes, or model the tables behind the view; {WITHOUT_HISTORY}",
        "tracking_disabled": f"ALTER TABLE … SET CHANGE_TRACKING = TRUE; {WITHOUT_HISTORY}",
        "tracking_missing": f"wait until it is older than `lag_seconds`; {WITHOUT_HISTORY}",
        "history_expired": f"ALTER TABLE … SET DATA_RETENTION_TIME_IN_DAYS = 7; {WITHOUT_HISTORY}",
        "warehouse_missing": "name a `warehouse` in the source, and grant the role its use",
        "column_type": "mend the models, or read a view",
        "key_column_missing": "mend `key` of the models",
        "unreachable": "mend `account`, `user` or the secret of the source, or let the role in",
    }
)
"""By the reasons that opening and reading a table can give."""
