"""The settings of the warehouse service."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, SecretStr

from services.runtime.secrets import UnresolvedSecret
from services.runtime.settings import RuntimeSettings


def _unless_empty(given: Any) -> Any:
    return given or None


class WarehouseSettings(RuntimeSettings):
    """What is special about it; each is `AFFLUX_` and its name."""

    tenant_key: Annotated[SecretStr | None, BeforeValidator(_unless_empty)] = Field(
        default=None, min_length=16
    )
    """Under it the digests of rows are made; needed as soon as a warehouse source is in force.
    Without it the digests mean nothing; with another one every row counts as new."""
    worker: int = Field(default=0, ge=0, le=0)
    """One process reads a topic whole, for a truncate concerns all its partitions."""

    def key(self) -> bytes:
        """
        Raises:
            UnresolvedSecret: there is none.
        """
        if self.tenant_key is None:
            raise UnresolvedSecret("AFFLUX_TENANT_KEY is not set")
        return self.tenant_key.get_secret_value().encode()
