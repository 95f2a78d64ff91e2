"""The settings of the activator beyond those that every service has."""

from pydantic import Field

from services.runtime.settings import RuntimeSettings


class ActivatorSettings(RuntimeSettings):
    """How large the steps are."""

    sender_batch: int = Field(default=30_000, ge=1)
    """Most records a sender takes at once; all are acknowledged together."""
    sender_linger_ms: int = Field(default=20, ge=1)
    """How long a sender collects a batch."""
    backfill_slice: int = Field(default=2_000, ge=1)
    """Most present members that the router enqueues per cycle for new subscriptions."""
    retry_delays_s: tuple[float, ...] | None = None
    """Replaces the retry schedule of every destination; for rehearsals and tests."""
    delivery_log_days: int = Field(default=7, ge=1)
    """How long the delivery log is kept."""
