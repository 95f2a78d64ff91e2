"""What clients ask before they send: settings documents and tokens, all from the key table."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import parse_qsl

from services.ingest.arrival import Content
from services.ingest.domain import answers, documents
from services.ingest.domain.answers import Answer
from services.ingest.domain.keys import key_outside_body
from services.ingest.handlers import Keys
from services.ingest.tokens import Tokens

FORM_BYTES = 64 * 1024


class Readable(Protocol):
    """The parts of a request that are looked at."""

    @property
    def headers(self) -> Mapping[str, str]: ...

    @property
    def query(self) -> Mapping[str, str]: ...


@dataclass(frozen=True, slots=True)
class Desk:
    """Answers 200 whenever it can: without their document browser libraries never send."""

    keys: Keys
    tokens: Tokens
    public_url: str | None

    def settings(self, write_key: str) -> Answer:
        """The document of Segment's library; only a key that certainly is none gets none."""
        if self._is_unknown(write_key):
            return answers.of_refusal("invalid_write_key", status=404)
        return answers.of_json(
            documents.settings(write_key, self.public_url),
            headers=(("Cache-Control", "public, max-age=60"),),
        )

    def source_config(self, request: Readable, *, is_probe: bool) -> Answer:
        """The document of RudderStack's library; its probe for ad blockers brings no key."""
        key = key_outside_body(request.headers, request.query)
        if key is None:
            return answers.SUCCESS if is_probe else answers.of_refusal("missing_write_key")
        if self._is_unknown(key):
            return answers.of_refusal("invalid_write_key", status=404)
        table = self.keys.table()
        return answers.of_json(documents.source_config(key, table.lookup(key) if table else None))

    async def token(self, content: Content) -> Answer:
        """A token for a client that proves who it is."""
        table = self.keys.table()
        if table is None or not table.is_complete:
            return answers.of_token_error("unavailable", "the sources are not known yet")
        form = bytearray()
        while chunk := await content.readany():
            form += chunk
            if len(form) > FORM_BYTES:
                return answers.of_token_error("invalid_request", "the form is too large")
        fields = parse_qsl(form.decode(errors="replace"))
        return self.tokens.issue(dict(fields), table.sources)

    def _is_unknown(self, key: str) -> bool:
        table = self.keys.table()
        return table is not None and table.is_complete and table.lookup(key) is None
