"""A relation's table as its models need it, and what is asked of the table's owner."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType

from services.runtime.secrets import UnresolvedSecret
from services.runtime.stage import Blocked
from services.warehouse.databricks.client import Session, session
from services.warehouse.databricks.trouble import SENTENCES, blocked
from services.warehouse.domain.asked import Asked, Setup, drifted
from services.warehouse.domain.databricks import statements
from services.warehouse.domain.databricks.names import meant
from services.warehouse.domain.databricks.statements import Read
from services.warehouse.domain.databricks.values import TYPES, Column, type_name
from services.warehouse.domain.model import Model
from services.warehouse.domain.selected import fingerprint
from services.warehouse.domain.source import DatabricksSource
from services.warehouse.patience import SourceAway
from services.warehouse.relations import by_relation, columns_of, key_missing, key_of
from services.warehouse.versions import FEED, LOST, feed_disabled

HIVE = "hive_metastore"
"""The catalog of a workspace without Unity, which has no privileges of its own."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table that can be followed, as it is now."""

    relation: str
    address: tuple[str, ...]
    id: str
    version: int
    committed_at: int
    """When it was, Unix milliseconds."""
    columns: Mapping[str, Column]
    """By the models' names where models use them."""
    fingerprint: bytes

    def read(self, columns: Sequence[str]) -> Read:
        """Of these columns."""
        return Read(self.address, tuple(self.columns[name] for name in columns))


async def opened(asking: Session, source: DatabricksSource, models: Sequence[Model]) -> Table:
    """The table of these models as it is now.

    Raises:
        Blocked: it cannot be followed.
        SourceAway: try again.
    """
    relation, key, wanted = models[0].origin, key_of(models), columns_of(models)
    address = source.address(relation)
    (detail,) = await asking.named(statements.detail(address), relation)
    if detail["format"] != "delta":
        raise blocked("not_a_table", relation)
    await _check_fed(asking, address, relation)
    types = await _types(asking, address, relation)
    columns = _columns(types, wanted, relation)
    if lacking := [name for name in key if name not in columns]:
        raise key_missing(relation, lacking[0])
    (newest,) = await asking.named(statements.newest(address), relation)
    return Table(
        relation=relation,
        address=address,
        id=str(detail["id"]),
        version=int(newest["version"]),
        committed_at=_milliseconds(newest["timestamp"]),
        columns=columns,
        fingerprint=fingerprint(types),
    )


async def _check_fed(asking: Session, address: Sequence[str], relation: str) -> None:
    """
    Raises:
        Blocked: nobody writes down what is changed.
    """
    (shown,) = await asking.named(statements.shown(address, FEED), relation)
    if shown["value"].lower() != "true":
        raise feed_disabled(relation)


async def _types(asking: Session, address: Sequence[str], relation: str) -> Mapping[str, str]:
    """Column → type, both as the catalog writes them. Partitions come behind the columns, under a
    heading, once more."""
    types: dict[str, str] = {}
    for row in await asking.named(statements.columns(address), relation):
        name = row["col_name"]
        if not name or name.startswith("#"):
            break
        types[name] = row["data_type"]
    return types


def _columns(types: Mapping[str, str], wanted: Sequence[str], relation: str) -> dict[str, Column]:
    used = {there: name for name in wanted if (there := meant(name, types)) is not None}
    return {
        used.get(there, there): Column(used.get(there, there), there, type_name(type_))
        for there, type_ in types.items()
        if there not in used or _is_read(there, type_, relation)
    }


def _is_read(there: str, type_: str, relation: str) -> bool:
    """
    Raises:
        Blocked: it is used and is not read.
    """
    if type_name(type_) in TYPES:
        return True
    raise Blocked(
        "column_type",
        f"{relation}: the column {there} is of type {type_name(type_)}, which cannot be read: take"
        f" it out of the model, or let a column be one of {', '.join(TYPES)}",
    )


def _milliseconds(at: datetime) -> int:
    """The session's zone is UTC."""
    aware = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    return round(aware.timestamp() * 1000)


def asked(source: DatabricksSource, models: Sequence[Model]) -> Iterator[Asked]:
    """Of the administrator, and of the owner of each table."""
    principal = "afflux"
    yield Asked(
        f"a service principal `{principal}` with a token, CAN USE on the SQL warehouse",
        "a principal of its own is granted what follows, and can be taken back",
    )
    for relation in by_relation(models):
        address = source.address(relation)
        if address[0] == HIVE:
            yield Asked(
                statements.granted("USAGE", "SCHEMA", address[:2], principal), "it holds the table"
            )
        else:
            yield Asked(
                statements.granted("USE CATALOG", "CATALOG", address[:1], principal),
                "it holds the tables",
            )
            yield Asked(
                statements.granted("USE SCHEMA", "SCHEMA", address[:2], principal),
                "it holds the table",
            )
        yield Asked(
            statements.granted("SELECT", "TABLE", address, principal),
            "rows and their feed are read; no right to write is needed",
        )
        yield Asked(
            statements.enable(address, FEED),
            "the table's writers write what they change; it begins with the statement",
        )


async def problems(source: DatabricksSource, models: Sequence[Model]) -> Sequence[Setup]:
    """All that is not as it must be, table by table."""
    try:
        async with session(source) as asking:
            return [
                problem
                for own in by_relation(models).values()
                async for problem in _of(asking, source, own)
            ]
    except Blocked as found:
        return (Setup(found.reason, str(found), _REMEDIES[found.reason]),)
    except (UnresolvedSecret, SourceAway) as error:
        sentence = f"Databricks cannot be reached: {error}"
        return (Setup("unreachable", sentence, _REMEDIES["unreachable"]),)


async def _of(
    asking: Session, source: DatabricksSource, models: Sequence[Model]
) -> AsyncIterator[Setup]:
    """The feed is really asked, for rights and policies show only then."""
    try:
        table = await opened(asking, source, models)
        probe = statements.probe(table.read(()), table.version)
        async for _ in asking.pages(probe, table.relation):
            pass
    except Blocked as found:
        yield Setup(found.reason, str(found), _REMEDIES[found.reason])
    else:
        for problem in drifted(table.relation, columns_of(models), table.columns):
            yield problem


_REMEDIES: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys((*SENTENCES, *LOST), "compare the models with the table"),
        "table_missing": "mend `tables` or `catalog` of the source, or grant the principal SELECT",
        "not_a_table": "model the Delta tables behind it",
        "warehouse_missing": "mend `http_path` of the source",
        "feed_disabled": f"ALTER TABLE … SET TBLPROPERTIES ({FEED} = true)",
        "column_type": "mend the models",
        "key_column_missing": "mend `key` of the models",
        "unreachable": "mend `host`, `http_path` or `token` of the source, or let the principal in",
    }
)
"""By the reasons that opening and reading a table can give."""
