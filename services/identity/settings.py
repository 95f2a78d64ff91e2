"""The settings of the identity service."""

from datetime import timedelta

from pydantic import Field

from services.runtime.settings import RuntimeSettings


class IdentitySettings(RuntimeSettings):
    """What is special about identity; each is `AFFLUX_` and its name."""

    identity_cache: int = Field(default=200_000, ge=1)
    """Identifiers remembered by a worker; 400 bytes each."""
    identity_sweep: timedelta = timedelta(seconds=5)
    """How often to look for merges that a crash has left unsaid."""
    identity_patience: timedelta = timedelta(seconds=30)
    """How long a batch waits for a database that went away before the process gives up."""
