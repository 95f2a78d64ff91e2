"""Delta tables behind Spark, written as a customer's jobs would, by SQL."""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from databricks import sql

from services.warehouse.databricks.client import MANNER
from services.warehouse.domain.canonical import Digests
from tests.databricks.relay import PATH, TOKEN, Relay
from tests.integration.customer_database import TENANT_KEY

Row = tuple[int | None, str | None, int | None]
COLUMNS = "id bigint, plan string, visits bigint"
FED = {"delta.enableChangeDataFeed": "true"}
CATALOG = "spark_catalog"


class Owner:
    """Who may do everything."""

    def __init__(self, relay: Relay, warehouse: Path) -> None:
        self.warehouse = warehouse
        self._connection = sql.connect(
            server_hostname="127.0.0.1",
            _port=relay.port,
            http_path=PATH,
            access_token=TOKEN,
            session_configuration={"TIMEZONE": "UTC"},
            **MANNER,
        )

    def close(self) -> None:
        self._connection.close()

    def run(self, statement: str) -> None:
        with self._connection.cursor() as cursor:
            cursor.execute(statement)

    def fetch(self, statement: str) -> list[Any]:
        with self._connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())


@contextmanager
def owning(relay: Relay, warehouse: Path) -> Iterator[Owner]:
    owner = Owner(relay, warehouse)
    try:
        yield owner
    finally:
        owner.close()


class Customers:
    """The table `customers` in a schema of its own."""

    def __init__(self, owner: Owner) -> None:
        self.owner = owner
        self.schema = f"crm_{uuid.uuid4().hex[:8]}"
        self.name = f"{self.schema}.customers"
        self.path = owner.warehouse / f"{self.schema}.db" / "customers"
        self._rows: dict[bytes, dict[str, Any]] | None = None
        self.run(f"CREATE SCHEMA {self.schema}")

    def run(self, statement: str) -> None:
        self._rows = None
        self.owner.run(statement)

    def create(
        self,
        rows: Sequence[Row] = (),
        *,
        configuration: Mapping[str, str] = FED,
        columns: str = COLUMNS,
    ) -> None:
        self.run(f"CREATE OR REPLACE TABLE {self.name} ({columns}) {_properties(configuration)}")
        if rows:
            self.insert(*rows)

    def insert(self, *rows: Row) -> None:
        self.run(f"INSERT INTO {self.name} VALUES {_values(rows)}")

    def overwrite(self, rows: Sequence[Row]) -> None:
        self.run(f"INSERT OVERWRITE {self.name} VALUES {_values(rows)}")

    def update(self, where: str, **columns: str) -> None:
        setting = ", ".join(f"{name} = {value}" for name, value in columns.items())
        self.run(f"UPDATE {self.name} SET {setting} WHERE {where}")

    def delete(self, where: str) -> None:
        self.run(f"DELETE FROM {self.name} WHERE {where}")

    def merge(self, *rows: Row) -> None:
        """Insert them, or update those that are there."""
        self.run(
            f"MERGE INTO {self.name} t USING (SELECT * FROM VALUES {_values(rows)}"
            " AS given(id, plan, visits)) s"
            " ON t.id = s.id WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *"
        )

    def vacuum(self) -> None:
        """All that the newest version does not need."""
        self.run(f"VACUUM {self.name} RETAIN 0 HOURS")

    def properties(self, **given: str) -> None:
        """Of the table; dots are underscores."""
        for name, value in given.items():
            text = name.replace("_", ".")
            self.run(f"ALTER TABLE {self.name} SET TBLPROPERTIES ('{text}' = '{value}')")

    def rows(self) -> dict[bytes, dict[str, Any]]:
        """Key digest → the other columns that are not null; asked for once after each write."""
        if self._rows is None:
            found = self.owner.fetch(f"SELECT id, plan, visits FROM {self.name}")
            digests = Digests(TENANT_KEY)
            self._rows = {
                digests.key({"id": id_}): {
                    name: value
                    for name, value in (("plan", plan), ("visits", visits))
                    if value is not None
                }
                for id_, plan, visits in found
            }
        return self._rows


def _properties(configuration: Mapping[str, str]) -> str:
    given = ", ".join(f"'{name}' = '{value}'" for name, value in configuration.items())
    return f"USING DELTA TBLPROPERTIES ({given})" if given else "USING DELTA"


def _values(rows: Sequence[Row]) -> str:
    return ", ".join(f"({', '.join(map(_literal, row))})" for row in rows)


def _literal(value: int | str | None) -> str:
    return "NULL" if value is None else repr(value)
