"""A table of a lake or warehouse, followed by the source under test, and its replica."""

import asyncio
from typing import Any, Generic, Protocol, TypeVar

import pytest

from services.runtime.stage import Blocked
from services.warehouse.domain.change import Change
from services.warehouse.domain.model import Model
from services.warehouse.domain.wire import decode
from tests.integration.customer_database import PATIENCE_S, Replica, Source, until

CUSTOMERS = Model.model_validate(
    {
        "id": "customers",
        "source": "lake",
        "relation": "crm.customers",
        "rows": "profile",
        "key": ["id"],
        "identifiers": {"user_id": "id"},
        "columns": {"plan": "plan", "visits": "visits"},
    }
)


class Rows(Protocol):
    """A table whose rows are known."""

    def rows(self) -> dict[bytes, dict[str, Any]]: ...


class Timed(Rows, Protocol):
    """One of a warehouse that tells the time."""

    def now(self) -> float: ...


T = TypeVar("T", bound=Rows)
W = TypeVar("W", bound=Timed)


class TableReading(Generic[T]):
    """The source under test, its table and its replica."""

    def __init__(self, source: Source, replica: Replica, table: T) -> None:
        self.source = source
        self.replica = replica
        self.table = table

    async def is_equal(self) -> bool:
        await asyncio.to_thread(self.replica.read)
        expected = await asyncio.to_thread(self.table.rows)
        return self.replica.rows(self.source.models[0]) == expected

    async def blocked(self) -> str:
        """The reason for which a connector stops."""
        with pytest.raises(Blocked) as found:
            await asyncio.wait_for(self.source.connector().run(), PATIENCE_S)
        return found.value.reason

    def change(self, **given: Any) -> None:
        """What a person has changed in the source."""
        self.source.source = self.source.source.model_copy(update=given)
        self.replica.use(self.source)

    def changes(self) -> list[Change]:
        said = [decode(raw, "lake") for raw in self.replica.raw]
        return [change for change in said if isinstance(change, Change)]


class VersionReading(TableReading[T]):
    """Of a table that counts its versions, and tells no time."""

    async def catch_up(self) -> None:
        """Until the replica equals the table, and the checkpoint says so too."""
        self.source.standing.heard_at = 0
        async with self.source.running() as task:
            await until(self.is_equal, "the replica equals the table", task)
            await until(lambda: self.source.standing.heard_at, "the checkpoint is saved", task)
        await asyncio.to_thread(self.replica.read)


class TimedReading(TableReading[W]):
    """Of a warehouse that is asked for one interval after the other."""

    async def catch_up(self) -> None:
        """Until all that is in the table now was read, and the replica equals it."""
        await self.read_all()
        assert await self.is_equal()

    async def read_all(self) -> None:
        """Until all that is in the table now was read, by the checkpoint too."""
        now = await asyncio.to_thread(self.table.now)
        async with self.source.running() as task:
            await until(lambda: self.source.standing.heard_at > now, "everything was read", task)
        await asyncio.to_thread(self.replica.read)
