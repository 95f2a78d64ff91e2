"""The write keys in force: definitions of sources, with their secrets resolved."""

import secrets as randomness
import time
from collections.abc import Iterator
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

RETRY_S = 5.0
"""Wait before unresolved keys are looked for again."""


class Loaded(Protocol):
    def is_set(self) -> bool: ...


class InForce(Protocol):
    """The definitions as they are now."""

    @property
    def loaded(self) -> Loaded: ...

    def current(self) -> Snapshot: ...


class Sources:
    """The key table of the newest definitions; built anew only when they changed."""

    def __init__(self, definitions: InForce) -> None:
        self._definitions = definitions
        self._salt = randomness.token_bytes(32)
        self._seen: Snapshot | None = None
        self._table = KeyTable((), salt=self._salt)
        self._again_at = 0.0

    def table(self) -> KeyTable | None:
        """None until the definitions were loaded once; after that they are never forgotten."""
        if not self._definitions.loaded.is_set():
            return None
        snapshot = self._definitions.current()
        is_due = not self._table.is_complete and time.monotonic() >= self._again_at
        if snapshot is not self._seen or is_due:
            self._seen = snapshot
            self._table = self._build(snapshot)
            self._again_at = time.monotonic() + RETRY_S
        return self._table

    def _build(self, snapshot: Snapshot) -> KeyTable:
        pairs: list[tuple[str, Source]] = []
        is_complete = True
        for source in _sources(snapshot):
            for reference in source.write_keys:
                try:
                    pairs.append((resolve(reference).get_secret_value(), source))
                except UnresolvedSecret as error:
                    is_complete = False
                    log.error("a write key is missing", source=source.id, error=str(error))
        return KeyTable(pairs, salt=self._salt, is_complete=is_complete)


def _sources(snapshot: Snapshot) -> Iterator[Source]:
    for (kind, identity), definition in sorted(snapshot.items()):
        if kind != "source" or definition.state == "archived":
            continue
        source = _source(definition)
        if source is None:
            log.error("a source cannot be read by this version", source=identity)
        else:
            yield source


def _source(definition: Definition) -> Source | None:
    try:
        source = Source.model_validate(msgspec.json.decode(definition.body))
    except (ValidationError, msgspec.DecodeError):
        return None
    return source if definition.state == "live" else source.model_copy(update={"enabled": False})
