"""Sessions at the customer's database: values have one text, nothing is written, nothing hangs."""

from typing import Any

import asyncpg

from services.runtime.secrets import resolve
from services.warehouse.domain.postgres.values import FORMATS

STATEMENT_TIMEOUT_S = 60
CONNECT_TIMEOUT_S = 10
APPLICATION = "afflux"


async def open_session(dsn: str, timeout_s: int = STATEMENT_TIMEOUT_S) -> Any:
    """A connection; read only where the statement respects that. A statement takes so long at most.

    Raises:
        UnresolvedSecret: the connection string is a reference to nothing.
        OSError, asyncpg.PostgresError, TimeoutError: the database refuses or is away.
    """
    settings = {
        **FORMATS,
        "default_transaction_read_only": "on",
        "statement_timeout": f"{timeout_s}s",
        "application_name": APPLICATION,
    }
    return await asyncpg.connect(
        resolve(dsn).get_secret_value(),
        timeout=CONNECT_TIMEOUT_S,
        command_timeout=timeout_s + 5,
        statement_cache_size=0,
        server_settings=settings,
    )
