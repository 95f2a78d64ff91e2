"""Tables in the emulator, written as a customer's jobs would."""

import uuid
from collections.abc import Sequence
from typing import Any

from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from services.warehouse.domain.bigquery.statements import enable_history
from services.warehouse.domain.canonical import Digests
from tests.integration.bigquery_server.server import PROJECT
from tests.integration.customer_database import TENANT_KEY

Row = tuple[int | None, str | None, int | None]
SCHEMA = (
    bigquery.SchemaField("id", "INTEGER"),
    bigquery.SchemaField("plan", "STRING"),
    bigquery.SchemaField("visits", "INTEGER"),
)


def asked(endpoint: str, **given: Any) -> dict[str, Any]:
    """A source that asks the emulator for rows as they are."""
    return {
        "id": "dwh",
        "type": "bigquery",
        "project": PROJECT,
        "location": "US",
        "api_endpoint": endpoint,
        "mode": "diff",
    } | given


class Customers:
    """The table `customers` in a dataset of its own."""

    def __init__(self, address: str) -> None:
        self.endpoint = address
        self.client = bigquery.Client(
            project=PROJECT,
            credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
            client_options=ClientOptions(api_endpoint=address),
        )
        self.dataset = f"crm_{uuid.uuid4().hex[:8]}"
        self.name = f"{self.dataset}.customers"
        self.client.create_dataset(self.dataset)
        self._rows: dict[bytes, dict[str, Any]] | None = None
        """As they were asked for, until something is written: whoever waits asks often."""

    def create(self, *rows: Row, schema: Sequence[bigquery.SchemaField] = SCHEMA) -> None:
        self.client.create_table(bigquery.Table(f"{PROJECT}.{self.name}", schema=schema))
        self.run(enable_history((PROJECT, *self.name.split("."))))
        if rows:
            self.insert(*rows)

    def drop(self) -> None:
        self.client.delete_table(f"{PROJECT}.{self.name}")

    def insert(self, *rows: Row) -> None:
        values = ", ".join(f"({', '.join(map(_literal, row))})" for row in rows)
        self.run(f"INSERT INTO {self.name} (id, plan, visits) VALUES {values}")

    def update(self, where: str, **columns: str) -> None:
        setting = ", ".join(f"{name} = {value}" for name, value in columns.items())
        self.run(f"UPDATE {self.name} SET {setting} WHERE {where}")

    def delete(self, where: str) -> None:
        self.run(f"DELETE FROM {self.name} WHERE {where}")

    def merge(self, *rows: Row) -> None:
        """Insert them, or update those that are there."""
        given = " UNION ALL ".join(
            f"SELECT {_literal(id_)} AS id, {_literal(plan)} AS plan, {_literal(visits)} AS visits"
            for id_, plan, visits in rows
        )
        self.run(
            f"MERGE {self.name} t USING ({given}) s ON t.id = s.id"
            " WHEN MATCHED THEN UPDATE SET plan = s.plan, visits = s.visits"
            " WHEN NOT MATCHED THEN INSERT (id, plan, visits) VALUES (s.id, s.plan, s.visits)"
        )

    def run(self, statement: str, *lists: Sequence[str]) -> list[Any]:
        """The lists are `@p1`, `@p2` and so on."""
        bound = [bigquery.ArrayQueryParameter(f"p{n}", "STRING", v) for n, v in enumerate(lists, 1)]
        config = bigquery.QueryJobConfig(query_parameters=bound)
        found = list(self.client.query(statement, job_config=config).result())
        if not statement.startswith("SELECT"):
            self._rows = None
        return found

    def now(self) -> float:
        """By the emulator's clock, Unix seconds."""
        found: float = self.run("SELECT UNIX_MICROS(CURRENT_TIMESTAMP())")[0][0] / 1_000_000
        return found

    def rows(self) -> dict[bytes, dict[str, Any]]:
        """Key digest → traits that a replica of it must have."""
        if self._rows is None:
            self._rows = self._replica()
        return self._rows

    def _replica(self) -> dict[bytes, dict[str, Any]]:
        digests = Digests(TENANT_KEY)
        found = self.run(f"SELECT id, plan, visits FROM {self.name} WHERE id IS NOT NULL")
        return {
            digests.key({"id": row["id"]}): {
                name: row[name] for name in ("plan", "visits") if row[name] is not None
            }
            for row in found
        }


def _literal(value: int | str | None) -> str:
    return "NULL" if value is None else repr(value)
