"""The workspace kind `source`: a tracker that sends over HTTP."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from services.ingest.domain.limits import Profile


class Source(BaseModel):
    """Who may send, with which write keys, within which limits."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)

    kind: Literal["source"] = "source"
    id: Annotated[str, Field(min_length=1)]
    name: str = ""
    description: str = ""
    write_keys: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1)]
    """References, `env:NAME` or `file:PATH`; any of the keys is accepted."""
    profile: Profile = "segment"
    """Which limits hold; `rudderstack` for its clients, which send far larger batches."""
    enabled: bool = True
    trusted: bool = False
    """A server source, whose word on identity counts."""
