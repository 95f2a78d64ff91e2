"""What the processes of all stages have in common: logs, health, and the workspace in force."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

from schemas.topics import DEAD_LETTERS, DEFINITIONS
from services.runtime import logs
from services.runtime.definitions import Definitions
from services.runtime.health import Health, serve
from services.runtime.kafka import create_topics, wait_for_kafka
from services.runtime.settings import RuntimeSettings


@dataclass(frozen=True, slots=True)
class Serving:
    """A process that answers for its health and knows the workspace."""

    health: Health
    definitions: Definitions


@contextmanager
def serving(service: str, settings: RuntimeSettings) -> Iterator[Serving]:
    """Health is answered at once; the block begins when Kafka is there and the workspace read.

    Raises:
        PortTaken: the health port is in use.
    """
    logs.configure(service, settings.log_level)
    health = Health(service, settings.worker)
    with closing(serve(health, settings.health_host, settings.health_port)):
        wait_for_kafka(settings.kafka_bootstrap, health)
        create_topics(settings.kafka_bootstrap, (DEFINITIONS, DEAD_LETTERS), settings.partitions)
        with closing(Definitions(settings.kafka_bootstrap)) as definitions:
            health.definitions = definitions.versions
            health.not_ready("waiting for the definitions")
            definitions.start()
            definitions.loaded.wait()
            yield Serving(health, definitions)
