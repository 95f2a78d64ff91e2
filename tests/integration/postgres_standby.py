"""Somebody who follows the whole log of a customer's server, as a standby does."""

import asyncio
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from deploy.local.postgres import postgres_binaries
from tests.integration.customer_database import fetch, until


@asynccontextmanager
async def following(dsn: str) -> AsyncIterator[None]:
    """For the length of the block."""
    parts = urlsplit(dsn)
    with tempfile.TemporaryDirectory(prefix="afflux-") as directory:
        follower = await asyncio.create_subprocess_exec(
            *(str(postgres_binaries() / "pg_receivewal"), "-D", directory, "--no-sync"),
            *("-h", str(parts.hostname), "-p", str(parts.port), "-U", "postgres"),
            stderr=subprocess.DEVNULL,
        )
        try:
            await until(lambda: fetch(dsn, "select pid from pg_stat_replication"), "a follower")
            yield
        finally:
            follower.kill()
            await follower.wait()
