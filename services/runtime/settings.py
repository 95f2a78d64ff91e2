"""The settings every service has, read once in its `app.py` from `AFFLUX_*` variables."""

import sys
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict


class RuntimeSettings(BaseSettings):
    """Where the world is, and how fast the loop turns."""

    model_config = SettingsConfigDict(env_prefix="AFFLUX_", extra="ignore", frozen=True)

    kafka_bootstrap: str = "127.0.0.1:9092"
    """Kafka's bootstrap servers, comma separated."""
    postgres_dsn: SecretStr = SecretStr("postgresql://postgres@127.0.0.1:5432/afflux")
    """PostgreSQL connection string; holds a password, so it is a secret."""
    state_dir: Path = Path(".afflux/state")
    """Local state; may be lost, it is rebuilt from the changelogs."""
    worker: int = Field(default=0, ge=0)
    """Number of this worker among those of its service; fixed for its place, not its process."""
    partitions: int = Field(default=6, ge=1)
    """Partitions of new topics; existing topics keep theirs."""
    health_host: str = "127.0.0.1"
    health_port: int = Field(default=0, ge=0, le=65535)
    """Port of /livez, /readyz, /metrics and /status; 0 takes a free one and logs it."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    cadence_ms: int = Field(default=25, ge=1)
    """Longest wait of a cycle for records."""
    cycle_records: int = Field(default=4000, ge=1)
    """Most records of a cycle."""
    session_timeout_ms: int = Field(default=10_000, ge=6000)
    """After this silence a worker's partitions go to the others."""
    transaction_timeout_ms: int = Field(default=10_000, ge=1000)
    """After this the broker aborts the open transaction of a dead worker."""


S = TypeVar("S", bound=RuntimeSettings)


def read(kind: type[S]) -> S:
    """The settings from the environment; a wrong one ends the process with a sentence each."""
    try:
        return kind()
    except ValidationError as error:
        for problem in error.errors(include_input=False, include_url=False):
            name = "_".join(str(part) for part in problem["loc"]).upper()
            print(f"AFFLUX_{name}: {problem['msg']}", file=sys.stderr)
        sys.exit(2)
