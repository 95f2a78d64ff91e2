"""The way out that a destination takes: HTTP for nearly all, else a topic, files or a database."""

from pathlib import Path
from typing import Protocol, cast

from services.activator.client import LONGEST_LIST, MAX_ANSWER, SafeClient
from services.activator.destinations import kafka_topic, postgres
from services.activator.instance import Instance
from services.activator.sinks.dry_run import DryRun
from services.activator.sinks.files import FileSink
from services.activator.sinks.kafka import KafkaSink
from services.activator.sinks.postgres import PostgresSink
from services.activator.tokens import Client


class WayOut(Client, Protocol):
    """A client that is closed when its instance is replaced."""

    async def close(self) -> None: ...


def way_out(instance: Instance) -> WayOut:
    """The client of an instance."""
    contract, settings = instance.destination.contract, instance.settings
    if settings.dry_run is not None:
        return DryRun(Path(settings.dry_run), settings)
    match contract.transport:
        case "kafka":
            return KafkaSink(cast(kafka_topic.Settings, settings))
        case "filesystem":
            return FileSink()
        case "sql":
            return PostgresSink(cast(postgres.Settings, settings))
        case "http":
            return SafeClient(
                allow_private=settings.allow_private,
                total_s=contract.timeout_s,
                longest_answer=LONGEST_LIST if contract.speaks_of_items else MAX_ANSWER,
            )
