"""The workspace kind `source` with `type: debezium`: topics that Debezium writes."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from services.warehouse.domain.debezium import PLACEHOLDER, Dialect, Format


def _own_kafka(given: Any) -> None:
    if given is not None:
        raise ValueError(
            "this version reads Debezium's topics from the Kafka of Afflux itself; leave it out,"
            " and mirror the topics there if they are elsewhere"
        )


TopicName = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,249}$")]


class DebeziumSource(BaseModel):
    """Which topics are read, and how the connector that fills them is set."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)

    kind: Literal["source"] = "source"
    id: Annotated[str, Field(min_length=1)]
    name: str = ""
    description: str = ""
    type: Literal["debezium"]
    bootstrap: Annotated[None, BeforeValidator(_own_kafka)] = None
    """Not yet: the topics lie in the Kafka of Afflux."""
    topics: Annotated[tuple[TopicName, ...], Field(min_length=1)]
    """One topic a table, keyed by row; heartbeat topics may stand here too."""
    format: Format = "debezium"
    """`debezium` for envelopes, `debezium_flat` for what ExtractNewRecordState leaves."""
    replica_identity: Literal["default", "full"] = "default"
    """`full` when the tables have REPLICA IDENTITY FULL: then deletes carry true old values."""
    placeholder: Annotated[str, Field(min_length=1)] = PLACEHOLDER
    """The connector's `unavailable.value.placeholder`."""
    max_delete_share: Annotated[float, Field(ge=0, le=1)] = 0.2
    """A truncate or a new snapshot that would delete a larger share of the rows blocks the source;
    who raises it confirms the deletes."""
    enabled: bool = True

    def dialect(self) -> Dialect:
        return Dialect(
            source=self.id,
            format=self.format,
            full=self.replica_identity == "full",
            placeholder=self.placeholder,
        )
