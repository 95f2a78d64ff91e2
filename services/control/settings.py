"""The settings of the command line, read from `AFFLUX_*` variables."""

from pathlib import Path

from pydantic import Field, SecretStr

from services.control.local import remembered_dsn
from services.control.ports import FIRST_HEALTH_PORT, HTTP_PORT, KAFKA_PORT
from services.runtime.settings import RuntimeSettings

UNSAID: SecretStr = RuntimeSettings.model_fields["postgres_dsn"].default


def _of_dev() -> SecretStr:
    dsn = remembered_dsn()
    return UNSAID if dsn is None else SecretStr(dsn)


class ControlSettings(RuntimeSettings):
    """Where the commands find the platform, and where `afflux dev` puts it."""

    postgres_dsn: SecretStr = Field(default_factory=_of_dev)
    """PostgreSQL connection string; without it that of the `afflux dev` in this folder."""
    status_urls: str = ""
    """Addresses that answer `/status`, comma separated; empty means those of `afflux dev`."""
    kafka_port: int = Field(default=KAFKA_PORT, ge=1, le=65535)
    """Port of Kafka in `afflux dev`."""
    postgres_port: int | None = Field(default=None, ge=1, le=65535)
    """Port of PostgreSQL in `afflux dev`; None takes a free one."""
    ingest_port: int = Field(default=HTTP_PORT, ge=1, le=65535)
    """Port of the HTTP API in `afflux dev`."""
    first_health_port: int = Field(default=FIRST_HEALTH_PORT, ge=1, le=65535)
    """The processes of `afflux dev` answer `/status` here and on the ports that follow."""
    estimate_dir: Path = Path(".afflux/estimate")
    """The view of profiles that `afflux estimate` keeps; may be deleted, it is made anew."""
    estimate_profiles: int = Field(default=250_000, ge=1000)
    """With more profiles than that the view holds a sample of them."""
