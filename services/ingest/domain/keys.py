"""Whose request it is: where a write key may stand, and the source it belongs to."""

import base64
import binascii
import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from services.ingest.domain.codes import Refused
from services.ingest.domain.source import Source

QUERY_FIELDS = ("writeKey", "writekey")


class KeyTable:
    """Write key → source. Holds keyed digests only, so that timing tells nothing about keys."""

    def __init__(
        self, pairs: Iterable[tuple[str, Source]], *, salt: bytes, is_complete: bool = True
    ) -> None:
        """The first source keeps a key that stands twice.

        While the table is not complete an unknown key may be a good one: its sender must wait,
        because every client throws its events away on a 401.
        """
        self.is_complete = is_complete
        self._salt = salt
        self._sources: dict[bytes, Source] = {}
        for key, source in pairs:
            self._sources.setdefault(self._digest(key), source)

    @property
    def sources(self) -> Iterable[Source]:
        """Every source with a key in force, once a key."""
        return self._sources.values()

    def find(self, key: str) -> Source:
        """The enabled source of a key.

        Raises:
            Refused: unknown, disabled, or perhaps not yet known.
        """
        source = self.lookup(key)
        if source is None:
            raise Refused("invalid_write_key" if self.is_complete else "unavailable")
        if not source.enabled:
            raise Refused("source_disabled")
        return source

    def lookup(self, key: str) -> Source | None:
        """The source of a key, which may carry a password behind a colon."""
        source = self._sources.get(self._digest(key))
        if source is None and ":" in key:
            source = self._sources.get(self._digest(key.partition(":")[0]))
        return source

    def _digest(self, key: str) -> bytes:
        data = key.encode("utf-8", "surrogatepass")
        return hashlib.blake2b(data, key=self._salt, digest_size=32).digest()


def key_outside_body(headers: Mapping[str, str], query: Mapping[str, str]) -> str | None:
    """The key in a header, else in the query; `headers` looks names up without regard to case."""
    authorization = headers.get("Authorization")
    return (
        _stated(_basic(authorization) if authorization else None)
        or _stated(headers.get("X-Write-Key"))
        or next((key for field in QUERY_FIELDS if (key := _stated(query.get(field)))), None)
    )


def key_in_body(body: Mapping[str, Any]) -> str | None:
    """The key of the body's top level, else of the first event of its batch."""
    batch = body.get("batch")
    first = batch[0] if isinstance(batch, list) and batch else None
    return _stated(body.get("writeKey")) or (
        _stated(first.get("writeKey")) if isinstance(first, dict) else None
    )


def _stated(key: Any) -> str | None:
    """The key unless it is empty or masked."""
    if not isinstance(key, str):
        return None
    text = key.strip()
    return None if not text.strip("*") or text.endswith(":***") else text


def _basic(authorization: str) -> str | None:
    scheme, _, encoded = authorization.strip().partition(" ")
    if scheme.lower() != "basic":
        return None
    standard = encoded.strip().rstrip("=").replace("-", "+").replace("_", "/")
    try:
        decoded = base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)
        return decoded.decode("utf-8").removesuffix(":")
    except (binascii.Error, ValueError):
        return None
