"""A relation's table as its models need it, and what is asked of the table's owner."""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from services.runtime.stage import Blocked
from services.warehouse.delta.table import Table
from services.warehouse.domain.asked import Asked, Setup, drifted
from services.warehouse.domain.model import Model
from services.warehouse.domain.source import DeltaSource
from services.warehouse.patience import SourceAway
from services.warehouse.relations import by_relation, columns_of, key_missing, key_of
from services.warehouse.versions import FEED


def opened(source: DeltaSource, models: Sequence[Model]) -> Table:
    """The table of these models as it is now.

    Raises:
        Blocked: it cannot be followed.
        SourceAway: try again.
        UnresolvedSecret: a reference among the source's options points at nothing.
    """
    relation, key = models[0].origin, key_of(models)
    address = source.address(relation)
    if address is None:
        raise Blocked("table_missing", f"the source does not say where {relation} is")
    table = Table(relation, address, source.storage_options)
    if lacking := [name for name in key if name not in table.columns]:
        raise key_missing(relation, lacking[0])
    return table


def asked(source: DeltaSource, models: Sequence[Model]) -> Iterator[Asked]:
    """Of the owner of each table."""
    for relation in by_relation(models):
        yield Asked(
            f"alter table {relation} set tblproperties ({FEED} = true)",
            "the table's writers write what they change; it begins with the statement",
        )
        yield Asked(
            f"the right to list and read {source.address(relation) or relation}",
            "files are read and nothing else; no right to write is needed",
        )


def problems(source: DeltaSource, models: Sequence[Model]) -> Iterator[Setup]:
    """What is not as it must be, table by table; nothing where all of them can be followed."""
    for own in by_relation(models).values():
        try:
            table = opened(source, own)
        except Blocked as blocked:
            yield Setup(blocked.reason, str(blocked), _REMEDIES[blocked.reason])
        except SourceAway as error:
            sentence = f"the storage of {own[0].origin} cannot be reached: {error}"
            yield Setup("unreachable", sentence, _REMEDIES["unreachable"])
        else:
            yield from drifted(table.relation, columns_of(own), table.columns)


_REMEDIES: Mapping[str, str] = MappingProxyType(
    {
        "table_missing": "mend `root` or `tables` of the source, or let the account in",
        "feed_disabled": f"alter table … set tblproperties ({FEED} = true)",
        "feature_unsupported": "switch these features off for the table, and rewrite it",
        "key_column_missing": "mend `key` of the models",
        "unreachable": "mend `storage_options` of the source, or let the account in",
    }
)
"""By the reasons that opening a table can give."""
