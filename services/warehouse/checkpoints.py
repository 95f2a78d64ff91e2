"""Where the connectors stand, in our own PostgreSQL: sealed, for key bounds are in it."""

import asyncio
import os
from hashlib import sha256
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from services.runtime.postgres import migrate

SCHEMA = "warehouse"
STEPS = (
    """create table warehouse.checkpoints (
        source text not null, name text not null, body bytea not null,
        primary key (source, name)
    )""",
    """create table warehouse.sql_rows (
        source text not null, model text not null, bucket text not null,
        entries bytea not null, gone bytea not null, checksum bytea, refused integer not null,
        primary key (source, model, bucket)
    )""",
    """alter table warehouse.sql_rows alter column entries set storage external""",
)
_NONCE_BYTES = 12
_WAY = "way"


class OtherTenantKey(RuntimeError):
    """What is kept was sealed with another `AFFLUX_TENANT_KEY`."""


class Checkpoints:
    """Those of one source, by name."""

    def __init__(self, pool: Any, source: str, tenant_key: bytes) -> None:
        self._pool = pool
        self._source = source
        self._seal = AESGCM(sha256(b"checkpoint" + tenant_key).digest())

    async def prepare(self) -> None:
        """Create the tables that are missing."""
        await migrate(self._pool, SCHEMA, STEPS)

    async def load(self, name: str) -> bytes | None:
        """
        Raises:
            OtherTenantKey: it cannot be opened.
        """
        body = await self._pool.fetchval(
            "select body from warehouse.checkpoints where source = $1 and name = $2",
            self._source,
            name,
        )
        if body is None:
            return None
        try:
            return self._seal.decrypt(body[:_NONCE_BYTES], body[_NONCE_BYTES:], self._about(name))
        except InvalidTag:
            raise OtherTenantKey(
                f"the checkpoints of {self._source} were sealed with another AFFLUX_TENANT_KEY:"
                " set the one from before"
            ) from None

    async def save(self, name: str, body: bytes) -> None:
        """Durable when it returns."""
        nonce = os.urandom(_NONCE_BYTES)
        await self._pool.execute(
            "insert into warehouse.checkpoints values ($1, $2, $3)"
            " on conflict (source, name) do update set body = excluded.body",
            self._source,
            name,
            nonce + self._seal.encrypt(nonce, body, self._about(name)),
        )

    async def begin(self, way: str) -> None:
        """Forget what was kept of another way of reading, whose positions are others.

        The next epoch is a later second, and so above every one that was forgotten.
        """
        known = await self.load(_WAY)
        if known is not None and known != way.encode():
            await self.forget()
            await asyncio.sleep(1.0)
        await self.save(_WAY, way.encode())

    async def exist(self) -> bool:
        """Whether anything of this source is kept."""
        query = "select exists (select from warehouse.checkpoints where source = $1)"
        return bool(await self._pool.fetchval(query, self._source))

    async def forget(self) -> None:
        """All of this source, and what is kept of its rows."""
        async with self._pool.acquire() as connection, connection.transaction():
            for table in ("checkpoints", "sql_rows"):
                await connection.execute(
                    f"delete from warehouse.{table} where source = $1",  # noqa: S608
                    self._source,
                )

    def _about(self, name: str) -> bytes:
        return f"{self._source}/{name}".encode()
