"""Tables in the emulator, written as a customer's jobs would, with their versions beside them."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import snowflake.connector

from services.warehouse.domain.canonical import Digests
from tests.integration.customer_database import TENANT_KEY

DATABASE = "SHOP"


def asked(address: str, **given: Any) -> dict[str, Any]:
    """A source that asks the emulator for rows as they are."""
    return {
        "id": "dwh",
        "type": "snowflake",
        "account": "fakesnow",
        "user": "afflux",
        "password": "a secret",
        "database": DATABASE,
        "endpoint": address,
        "mode": "diff",
    } | given


Row = tuple[int | None, str | None, int | None]
COLUMNS: Mapping[str, str] = {
    "ID": "NUMBER(38,0)",
    "PLAN": "VARCHAR",
    "VISITS": "NUMBER(38,0)",
    "OTHER": "VARCHAR",
}


class Customers:
    """The table `CUSTOMERS` in a schema of its own. `ROW_ID` is what Snowflake has unseen."""

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        self._connection = snowflake.connector.connect(
            user="owner",
            password="of the tables",
            account="fakesnow",
            paramstyle="numeric",
            protocol="http",
            host=parts.hostname,
            port=parts.port,
        )
        self.schema = f"CRM_{uuid.uuid4().hex[:8].upper()}"
        self.name = f"{DATABASE}.{self.schema}.CUSTOMERS"
        self._columns: Sequence[str] = ()
        self._next_row = 1
        self.run(f"CREATE DATABASE IF NOT EXISTS {DATABASE}")
        self.run(f"CREATE SCHEMA {DATABASE}.{self.schema}")
        self.run(
            f'CREATE TABLE {DATABASE}.{self.schema}.SHOWN ("created_on" TIMESTAMP_TZ,'
            ' "name" VARCHAR, "kind" VARCHAR, "retention_time" VARCHAR, "change_tracking" VARCHAR)'
        )

    def close(self) -> None:
        self._connection.close()

    def create(self, *rows: Row, columns: Mapping[str, str] = COLUMNS) -> None:
        """As if it had been there for a minute."""
        self._columns = (*columns, "ROW_ID")
        typed = ", ".join(f"{name} {type_}" for name, type_ in columns.items())
        self.run(f"CREATE OR REPLACE TABLE {self.name} ({typed}, ROW_ID NUMBER(38,0))")
        self.run(
            f"CREATE OR REPLACE TABLE {self.name}__HISTORY ({typed}, ROW_ID NUMBER(38,0),"
            " SINCE TIMESTAMP_TZ, UNTIL TIMESTAMP_TZ)"
        )
        self.run(f"DELETE FROM {DATABASE}.{self.schema}.SHOWN")
        self.run(
            f"INSERT INTO {DATABASE}.{self.schema}.SHOWN"
            " SELECT DATEADD(minute, -1, CURRENT_TIMESTAMP()), 'CUSTOMERS', 'TABLE', '1', 'ON'"
        )
        if rows:
            self.insert(*rows)

    def shown(self, **said: str) -> None:
        """Change what the catalog says; values are expressions."""
        setting = ", ".join(f'"{name}" = {value}' for name, value in said.items())
        self.run(f"UPDATE {DATABASE}.{self.schema}.SHOWN SET {setting}")

    def insert(self, *rows: Row) -> None:
        self.write(self._inserting(rows))

    def update(self, where: str, **columns: str) -> None:
        setting = ", ".join(f"{name} = {value}" for name, value in columns.items())
        self.write(f"UPDATE {self.name} SET {setting} WHERE {where}")

    def delete(self, where: str) -> None:
        self.write(f"DELETE FROM {self.name} WHERE {where}")

    def overwrite(self, *rows: Row) -> None:
        """INSERT OVERWRITE: every row is another one than before."""
        self.write(f"DELETE FROM {self.name}", self._inserting(rows))

    def write(self, *statements: str) -> None:
        """One transaction, with the versions that come of it."""
        same = " AND ".join(f"t.{name} IS NOT DISTINCT FROM h.{name}" for name in self._columns)
        names = ", ".join(self._columns)
        for statement in (
            "BEGIN",
            *statements,
            f"UPDATE {self.name}__HISTORY h SET UNTIL = CURRENT_TIMESTAMP() WHERE UNTIL IS NULL"
            f" AND NOT EXISTS (SELECT 1 FROM {self.name} t WHERE {same})",
            f"INSERT INTO {self.name}__HISTORY ({names}, SINCE)"
            f" SELECT {names}, CURRENT_TIMESTAMP() FROM {self.name} t WHERE NOT EXISTS"
            f" (SELECT 1 FROM {self.name}__HISTORY h WHERE UNTIL IS NULL AND h.ROW_ID = t.ROW_ID)",
            "COMMIT",
        ):
            self.run(statement)

    def run(self, statement: str, *values: str) -> list[Any]:
        cursor = self._connection.cursor()
        try:
            cursor.execute(statement, values or None)
            return list(cursor.fetchall())
        finally:
            cursor.close()

    def now(self) -> float:
        """By the emulator's clock, Unix seconds."""
        found: float = self.run("SELECT CURRENT_TIMESTAMP()")[0][0].timestamp()
        return found

    def rows(self) -> dict[bytes, dict[str, Any]]:
        """Key digest → traits that a replica of it must have."""
        digests = Digests(TENANT_KEY)
        found = self.run(f"SELECT ID, PLAN, VISITS FROM {self.name} WHERE ID IS NOT NULL")
        return {
            digests.key({"id": id_}): {
                name: value
                for name, value in (("plan", plan), ("visits", visits))
                if value is not None
            }
            for id_, plan, visits in found
        }

    def _inserting(self, rows: Sequence[Row]) -> str:
        values = []
        for row in rows:
            values.append(f"({', '.join(map(_literal, (*row, self._next_row)))})")
            self._next_row += 1
        return f"INSERT INTO {self.name} (ID, PLAN, VISITS, ROW_ID) VALUES {', '.join(values)}"


def _literal(value: int | str | None) -> str:
    return "NULL" if value is None else repr(value)
