"""The settings of ingest, each with its meaning."""

from typing import Annotated, Self

from pydantic import Field, HttpUrl, IPvAnyNetwork, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from services.ingest.domain.limits import PROFILES, Limits, Profile, changed
from services.runtime.settings import RuntimeSettings

AtLeastOne = Annotated[int, Field(ge=1)]


class Settings(RuntimeSettings):
    """Read from `AFFLUX_*` variables."""

    model_config = SettingsConfigDict(env_prefix="AFFLUX_", extra="ignore", frozen=True)

    ingest_host: str = "127.0.0.1"
    ingest_port: int = Field(default=8080, ge=0, le=65535)
    """Where trackers send to; 0 takes a free port and logs it."""
    ingest_linger_ms: int = Field(default=4, ge=0)
    """Events that arrive within this time go to the broker together."""
    ingest_deadline_ms: int = Field(default=3000, ge=100)
    """Longest wait for the broker's acknowledgement; after it the answer is 503."""
    ingest_backlog_bytes: int = Field(default=64 * 1024 * 1024, ge=1024 * 1024)
    """Most bytes waiting for the broker; above it the answer is 503 at once."""
    ingest_shutdown_s: int = Field(default=15, ge=0)
    """Longest wait for requests in flight when told to stop."""
    ingest_trusted_proxies: tuple[IPvAnyNetwork, ...] = ()
    """Networks whose X-Forwarded-For and X-Real-IP are believed, as a JSON list."""
    ingest_public_url: HttpUrl | None = None
    """Where the outside reaches ingest. Browser libraries that name no host are sent there, and
    OAuth assertions must be meant for it."""
    ingest_token_secret: SecretStr | None = None
    """Signs OAuth tokens; all processes need the same one. Without it each takes its own alone."""
    ingest_limits: dict[Profile, dict[str, AtLeastOne]] = Field(default_factory=dict)
    """Limits to change, by profile and name (see `domain/limits.py`), as JSON."""

    @model_validator(mode="after")
    def _limits_have_known_names(self) -> Self:
        self.limits()
        return self

    def limits(self) -> dict[Profile, Limits]:
        """The limits of every profile, as changed."""
        return {
            profile: changed(limits, self.ingest_limits.get(profile, {}))
            for profile, limits in PROFILES.items()
        }
