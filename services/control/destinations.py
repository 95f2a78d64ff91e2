"""What the commands about destinations share: the definition, and the ledger's database."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import asyncpg

from schemas.records import Definition
from services.activator.domain.destination import DestinationDefinition, parse_destination
from services.activator.migrations import STEPS
from services.control.definitions_log import read_definitions
from services.control.settings import ControlSettings
from services.runtime.postgres import migrate

T = TypeVar("T")


TIMEOUT_S = 10.0
AWAY = (OSError, TimeoutError, asyncpg.CannotConnectNowError, asyncpg.InvalidPasswordError)


class NoLedger(ConnectionError):
    """The database does not answer."""


class NoSuchDestination(Exception):
    """Nothing of that id is in force; the text says what is."""


def definition_of(settings: ControlSettings, destination_id: str) -> Definition:
    """The definition that is in force, as it was applied.

    Raises:
        NoSuchDestination: there is none.
        Unreachable: no broker answers.
    """
    found = read_definitions(settings.kafka_bootstrap)
    definition = found.get(("destination", destination_id))
    if definition is None or definition.state == "archived":
        known = sorted(d.id for d in found.values() if d.kind == "destination")
        listed = ", ".join(known) or "none"
        raise NoSuchDestination(f"`{destination_id}` is not in force; there are: {listed}")
    return definition


def destination_of(settings: ControlSettings, destination_id: str) -> DestinationDefinition:
    """The definition that is in force, opened; raises as `definition_of` does."""
    return parse_destination(json.loads(definition_of(settings, destination_id).body))


def with_ledger(settings: ControlSettings, work: Callable[[Any], Awaitable[T]]) -> T:
    """Do something on a connection to the ledger's database."""
    return asyncio.run(_with_ledger(settings, work))


async def _with_ledger(settings: ControlSettings, work: Callable[[Any], Awaitable[T]]) -> T:
    dsn = settings.postgres_dsn.get_secret_value()
    try:
        async with asyncpg.create_pool(dsn, min_size=1, max_size=1, timeout=TIMEOUT_S) as pool:
            await migrate(pool, "activator", STEPS)
            async with pool.acquire() as connection:
                return await work(connection)
    except AWAY as error:
        raise NoLedger("PostgreSQL does not answer: set AFFLUX_POSTGRES_DSN") from error
