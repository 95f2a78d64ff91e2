"""One request on its way in, of whatever server."""

from collections.abc import Mapping
from typing import Protocol

import msgspec

from services.ingest.domain.door import Door


class Content(Protocol):
    """A request's body while it arrives; empty bytes are its end."""

    async def readany(self) -> bytes: ...

    def at_eof(self) -> bool:
        """Whether all of it was read; False says nothing."""


class Arrival(msgspec.Struct, frozen=True, kw_only=True):
    """A request to collect events from."""

    path: str
    door: Door
    received_at: int
    request_id: str
    headers: Mapping[str, str]
    query: Mapping[str, str]
    peer: str | None
    forwarded: str
    """All that proxies added to X-Forwarded-For, in however many lines."""
    content: Content
