"""The write keys in force: definitions of sources, with their secrets resolved."""

import secrets as randomness
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Protocol

import msgspec
import structlog
from pydantic import ValidationError

from schemas.records import Definition
from services.ingest.domain.keys import KeyTable
from services.ingest.domain.source import Source
from services.runtime.definitions import Snapshot
from services.runtime.secrets import UnresolvedSecret, resolve

log = structlog.get_logger()

REFRESH_S = 5.0
"""Keys are resolved anew this often: files change, keys expire, and what was missing turns up."""


class InForce(Protocol):
    """The definitions as they are now, or as they were last known."""

    @property
    def is_confirmed(self) -> bool: ...

    def current(self) -> Snapshot | None: ...


class Sources:
    """The key table of the newest definitions."""

    def __init__(self, workspace: InForce) -> None:
        self._workspace = workspace
        self._salt = randomness.token_bytes(32)
        self._seen: Snapshot | None = None
        self._table = KeyTable((), salt=self._salt)
        self._again_at = 0.0
        self._resolved: dict[str, str] = {}
        """Reference → the key it last led to; a file that cannot be read revokes nothing."""
        self._said: set[tuple[str, ...]] = set()
        """What the log says of these definitions already."""

    def table(self) -> KeyTable | None:
        """None until definitions are known; after that they are never forgotten."""
        snapshot = self._workspace.current()
        if snapshot is None:
            return None
        if snapshot is not self._seen:
            self._seen, self._again_at = snapshot, 0.0
            self._said.clear()
        if time.monotonic() >= self._again_at:
            self._table = self._build(snapshot)
            self._again_at = time.monotonic() + REFRESH_S
        return self._table

    def _build(self, snapshot: Snapshot) -> KeyTable:
        now = datetime.now(UTC)
        sources = [*self._sources(snapshot)]
        keys = [
            (self._key(one.key, source), source)
            for source in filter(None, sources)
            for one in source.write_keys
            if one.expires is None or one.expires > now
        ]
        return KeyTable(
            [(key, source) for key, source in keys if key is not None],
            salt=self._salt,
            is_complete=self._workspace.is_confirmed
            and None not in sources
            and all(key is not None for key, _ in keys),
        )

    def _key(self, reference: str, source: Source) -> str | None:
        try:
            self._resolved[reference] = resolve(reference).get_secret_value()
        except UnresolvedSecret as error:
            self._say("a write key is missing", source=source.id, error=str(error))
        return self._resolved.get(reference)

    def _sources(self, snapshot: Snapshot) -> Iterator[Source | None]:
        """None for one that this version cannot read, whose keys may be good ones."""
        for (kind, identity), definition in sorted(snapshot.items()):
            if kind != "source" or definition.state == "archived" or _is_warehouse(definition):
                continue
            source = _source(definition)
            if source is None:
                self._say("a source cannot be read by this version", source=identity)
            yield source

    def _say(self, event: str, **details: str) -> None:
        if (event, *details.values()) not in self._said:
            self._said.add((event, *details.values()))
            log.error(event, **details)


def _is_warehouse(definition: Definition) -> bool:
    """Its rows come by another way; it has no write keys."""
    try:
        return "type" in msgspec.json.decode(definition.body)
    except (msgspec.DecodeError, TypeError):
        return False


def _source(definition: Definition) -> Source | None:
    try:
        source = Source.model_validate(msgspec.json.decode(definition.body))
    except (ValidationError, msgspec.DecodeError):
        return None
    return source if definition.state == "live" else source.model_copy(update={"enabled": False})
