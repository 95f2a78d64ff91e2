"""The workspace kind `source`: a tracker that sends over HTTP."""

import re
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
)

from services.ingest.domain.limits import Profile
from services.ingest.domain.oauth import OAuth
from services.ingest.domain.rate import Rate

_ORIGIN = re.compile(r"null|[a-z][a-z0-9+.-]*://[^/?#\s]+")

Reference = Annotated[str, Field(min_length=1)]
"""`env:NAME` or `file:PATH`."""


def _is_origin(text: str) -> str:
    origin = text.strip().lower()
    if not _ORIGIN.fullmatch(origin):
        raise ValueError("must be an origin as browsers send it, like `https://shop.example`")
    return origin


class WriteKey(BaseModel):
    """A write key, with an end if it is on its way out."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)

    key: Reference
    expires: AwareDatetime | None = None


def _as_key(given: Any) -> Any:
    if isinstance(given, str):
        return {"key": given}
    if isinstance(given, dict | WriteKey):
        return given
    raise ValueError("must be a reference to a secret, or `key` and `expires`")


_WriteKey = Annotated[
    WriteKey, BeforeValidator(_as_key, json_schema_input_type=Reference | WriteKey)
]


class Source(BaseModel):
    """Who may send, with which write keys, within which limits."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)

    kind: Literal["source"] = "source"
    id: Annotated[str, Field(min_length=1)]
    name: str = ""
    description: str = ""
    write_keys: Annotated[tuple[_WriteKey, ...], Field(min_length=1)]
    """References, `env:NAME` or `file:PATH`; any of the keys is accepted, until it expires."""
    profile: Profile = "segment"
    """Which limits hold; `rudderstack` for its clients, which send far larger batches."""
    enabled: bool = True
    trusted: bool = False
    """A server source, whose word on identity counts."""
    allowed_origins: tuple[Annotated[str, AfterValidator(_is_origin)], ...] = ()
    """Pages that may send; empty lets every page. Says nothing about servers and apps."""
    rate: Rate | None = None
    """Most requests, in each process; more are told to wait."""
    oauth: OAuth | None = None
