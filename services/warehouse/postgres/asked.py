"""What is asked of the administrator of a PostgreSQL database; Afflux runs none of it."""

from collections.abc import Iterator, Sequence

from services.warehouse.domain.asked import Asked
from services.warehouse.domain.model import Model
from services.warehouse.domain.source import PostgresSource
from services.warehouse.postgres.sql import quoted, quoted_relation


def asked(source: PostgresSource, models: Sequence[Model], role: str) -> Iterator[Asked]:
    """Every statement with its reason, in the order in which they are run."""
    relations = sorted({model.origin for model in models})
    tables = ", ".join(quoted_relation(relation) for relation in relations)
    schemas = sorted({quoted(relation.split(".", 1)[0]) for relation in relations})
    yield Asked(
        "alter system set wal_level = logical",
        "changes of rows are in the log only then; it takes a restart of the server",
    )
    yield Asked(
        "alter system set max_slot_wal_keep_size = '50GB'",
        "a slot that nobody reads must not fill the disk",
    )
    yield Asked(
        f"create role {quoted(role)} login replication password '…'",
        "REPLICATION reads the log, and with it every published table, whatever it may SELECT;"
        " it can write nothing",
    )
    yield Asked(
        f"grant usage on schema {', '.join(schemas)} to {quoted(role)}",
        "so that the tables are found",
    )
    yield Asked(
        f"grant select on {tables} to {quoted(role)}",
        "the first snapshot reads the rows that are there already",
    )
    if source.replica_identity == "full":
        for relation in relations:
            yield Asked(
                f"alter table {quoted_relation(relation)} replica identity full",
                "deletes then carry the old row, as the source says",
            )
    yield Asked(
        f"create publication {quoted(source.publication)} for table {tables}",
        "only published tables are in what we read; with a column list, `table (a, b)`, the other"
        " columns never leave the database",
    )
