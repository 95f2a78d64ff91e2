"""Real Delta tables in a folder, written as a customer's jobs would."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from arro3.core import Array, DataType, Table
from deltalake import DeltaTable, write_deltalake

from services.warehouse.domain.canonical import Digests
from tests.integration.customer_database import TENANT_KEY

FED = {"delta.enableChangeDataFeed": "true"}
COLUMNS: Mapping[str, DataType] = {
    "id": DataType.int64(),
    "plan": DataType.string(),
    "visits": DataType.int64(),
}
Row = tuple[int | None, str | None, int | None]


def rows_of(rows: Sequence[Row]) -> Table:
    """As the library takes them."""
    columns = zip(*rows, strict=True) if rows else ([],) * len(COLUMNS)
    return Table.from_pydict(
        {
            name: Array(list(values), type=type_)
            for (name, type_), values in zip(COLUMNS.items(), columns, strict=True)
        }
    )


class Customers:
    """The table `crm.customers` under a root."""

    def __init__(self, root: Path) -> None:
        self.path = str(root / "crm" / "customers")

    def create(self, rows: Sequence[Row], *, configuration: Mapping[str, str] = FED) -> None:
        Path(self.path).parent.mkdir(parents=True, exist_ok=True)
        write_deltalake(
            self.path, rows_of(rows), mode="overwrite", configuration=dict(configuration)
        )

    def insert(self, *rows: Row) -> None:
        write_deltalake(self.path, rows_of(rows), mode="append")

    def overwrite(self, rows: Sequence[Row]) -> None:
        write_deltalake(self.path, rows_of(rows), mode="overwrite")

    def update(self, where: str, **columns: str) -> None:
        self.table().update(updates=columns, predicate=where)

    def delete(self, where: str) -> None:
        self.table().delete(where)

    def merge(self, *rows: Row) -> None:
        """Insert them, or update those that are there."""
        merging = self.table().merge(
            rows_of(rows), predicate="t.id = s.id", source_alias="s", target_alias="t"
        )
        merging.when_matched_update_all().when_not_matched_insert_all().execute()

    def table(self) -> DeltaTable:
        return DeltaTable(self.path)

    def rows(self) -> dict[bytes, dict[str, Any]]:
        """Key digest → the other columns that are not null."""
        digests = Digests(TENANT_KEY)
        found = {}
        for batch in self.table().scan():
            columns = {name: batch.column(name).to_pylist() for name in COLUMNS}
            for id_, plan, visits in zip(*columns.values(), strict=True):
                given = {"plan": plan, "visits": visits}
                found[digests.key({"id": id_})] = {n: v for n, v in given.items() if v is not None}
        return found
