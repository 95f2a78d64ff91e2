"""The settings of ingest, each with its meaning."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, HttpUrl, IPvAnyNetwork, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from services.ingest.domain.limits import PROFILES, Limits, Profile, changed
from services.runtime.settings import RuntimeSettings

AtLeastOne = Annotated[int, Field(ge=1)]


class Settings(RuntimeSettings):
    """Read from `AFFLUX_*` variables."""

    model_config = SettingsConfigDict(
        env_prefix="AFFLUX_", env_ignore_empty=True, extra="ignore", frozen=True
    )

    ingest_host: str = "127.0.0.1"
    ingest_port: int = Field(default=8080, ge=0, le=65535)
    """Where trackers send to; 0 takes a free port and logs it."""
    ingest_linger_ms: int = Field(default=4, ge=0)
    """Events that arrive within this time go to the broker together."""
    ingest_deadline_ms: int = Field(default=3000, ge=100)
    """Longest wait for the broker's acknowledgement; then events go to the spool."""
    ingest_body_bytes: int = Field(default=256 * 1024 * 1024, ge=8 * 1024 * 1024)
    """Most bytes of bodies that are being read; above it the answer is `outage_status`."""
    ingest_backlog_bytes: int = Field(default=64 * 1024 * 1024, ge=1024 * 1024)
    """Most bytes waiting for broker or disk; above it the answer is `outage_status` at once."""
    ingest_spool_dir: Path | None = None
    """Where events wait while the broker is away: a directory on a disk that outlives the process.
    Each worker has a directory of its own in it. Without one an outage refuses events."""
    ingest_spool_bytes: int = Field(default=1024 * 1024 * 1024, ge=1024 * 1024)
    """Most bytes in the spool; above it the answer is `outage_status`."""
    ingest_outage_status: Annotated[Literal[503, 429], BeforeValidator(int)] = 503
    """Answer when events can be made durable nowhere. Some clients honour Retry-After on 429
    alone."""
    ingest_remembered_ids: int = Field(default=100_000, ge=1)
    """Message ids known to be durable, of which copies are dropped at once; about 200 bytes each.
    Identity drops all copies of 24 hours whatever is remembered here."""
    ingest_request_s: int = Field(default=30, ge=1)
    """Longest wait for the first request of a connection, and for the body of any; then it is
    closed."""
    ingest_idle_s: int = Field(default=620, ge=1)
    """Longest wait for another request on a connection. It must be longer than that of the load
    balancer in front: one that closes first never meets a connection that we have just closed."""
    ingest_connections: int = Field(default=10_000, ge=1)
    """Most connections; further ones are closed at once."""
    ingest_shutdown_s: int = Field(default=15, ge=0)
    """Longest wait for requests in flight when told to stop."""
    ingest_trusted_proxies: tuple[IPvAnyNetwork, ...] = ()
    """Networks whose X-Forwarded-For and X-Real-IP are believed, as a JSON list."""
    ingest_public_url: HttpUrl | None = None
    """Where the outside reaches ingest. Browser libraries that name no host are sent there, and
    OAuth assertions must be meant for it."""
    ingest_token_secret: SecretStr | None = None
    """Signs OAuth tokens; all processes need the same one. Without it each takes its own alone."""
    admin_token: SecretStr | None = Field(default=None, min_length=16)
    """Bearer token of the management listener, by which people are suppressed and erased. Without
    it there is no such listener."""
    management_host: str = "127.0.0.1"
    management_port: int = Field(default=8081, ge=0, le=65535)
    """Where the management listener is; 0 takes a free port and logs it."""
    suppression_secret: SecretStr | None = Field(default=None, min_length=16)
    """Keys the digests by which the log names suppressed people. All ingest processes need the
    same one, as soon as anybody is suppressed."""
    ingest_limits: dict[Profile, dict[str, AtLeastOne]] = Field(default_factory=dict)
    """Limits to change, by profile and name (see `domain/limits.py`), as JSON."""

    @model_validator(mode="after")
    def _limits_have_known_names(self) -> Self:
        self.limits()
        return self

    @model_validator(mode="after")
    def _who_suppresses_has_a_secret(self) -> Self:
        if self.admin_token is not None and self.suppression_secret is None:
            raise ValueError("AFFLUX_ADMIN_TOKEN is set, so set AFFLUX_SUPPRESSION_SECRET, too")
        return self

    def limits(self) -> dict[Profile, Limits]:
        """The limits of every profile, as changed."""
        return {
            profile: changed(limits, self.ingest_limits.get(profile, {}))
            for profile, limits in PROFILES.items()
        }
