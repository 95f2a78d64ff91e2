"""What a database must be able to do, so that models can be asked of it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from services.warehouse.domain.model import Model
from services.warehouse.domain.sql.dialect import Dialect

Row = Sequence[Any]
"""Texts, nulls and numbers."""


class Refused(Exception):
    """The database will not run this statement, now or later.

    Its own words are left out: they may hold values of a row.
    """

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Session(Protocol):
    """One read-only session. Where the database can, all of it sees one moment."""

    async def describe(self, query: str) -> Sequence[tuple[str, str]]:
        """Name and type of each column; `query` stands between parentheses."""
        ...

    async def clock(self) -> int:
        """The server's, Unix milliseconds."""
        ...

    async def fetch(self, statement: str, *values: Any) -> Sequence[Row]:
        """All rows at once: for few."""
        ...

    def stream(self, statement: str, *values: Any) -> AsyncIterator[Sequence[Row]]:
        """Any number of rows, some at a time."""
        ...

    async def bytes_of(self, statement: str) -> int | None:
        """What is paid for, where a database is paid by the bytes that it reads; nothing is run."""
        ...


class Engine(Protocol):
    """A database that is asked. Errors of a database that is away are in `away`."""

    dialect: Dialect
    away: tuple[type[BaseException], ...]

    def query(self, model: Model) -> str:
        """The SELECT whose rows the model's are."""
        ...

    def session(self, timeout_s: int, about: str) -> AbstractAsyncContextManager[Session]:
        """For one run; `about` says whose.

        Raises:
            Refused: by any statement in it.
        """
        ...
