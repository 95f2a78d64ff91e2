"""Wiring of the identity service: reads the settings, builds the clients, turns the loop."""

import asyncio
from typing import Any

import structlog

from schemas.topics import DEFINITIONS, EVENTS
from services.identity.deduplication import Deduplication
from services.identity.migrations import STEPS
from services.identity.past import PastOfTopic
from services.identity.settings import IdentitySettings
from services.identity.store import PostgresIdentities
from services.identity.streams import IdentityStage
from services.runtime import logs
from services.runtime.definitions import Definitions
from services.runtime.health import Health, serve
from services.runtime.kafka import create_topics, wait_for_kafka
from services.runtime.postgres import connect, migrate
from services.runtime.processor import run
from services.runtime.settings import read

log = structlog.get_logger()


def main(stage: type[IdentityStage] = IdentityStage) -> None:
    settings = read(IdentitySettings)
    logs.configure(IdentityStage.name, settings.log_level)
    health = Health(IdentityStage.name, settings.worker)
    server = serve(health, settings.health_host, settings.health_port)
    log.info("started", worker=settings.worker, health_port=server.port)
    wait_for_kafka(settings.kafka_bootstrap, health)
    create_topics(settings.kafka_bootstrap, [DEFINITIONS], settings.partitions)
    definitions = Definitions(settings.kafka_bootstrap)
    health.definitions = definitions.versions
    definitions.start()
    definitions.loaded.wait()
    try:
        _work(stage, settings, health, definitions)
    finally:
        definitions.close()
        server.close()


def _work(
    stage: type[IdentityStage],
    settings: IdentitySettings,
    health: Health,
    definitions: Definitions,
) -> None:
    directory = settings.state_dir / f"identity-seen-{settings.worker}"
    deduplication = Deduplication(directory, PastOfTopic(settings.kafka_bootstrap, EVENTS))
    with asyncio.Runner() as runner:
        pool = runner.run(_pool(settings, health))
        working = stage(
            settings=settings,
            health=health,
            runner=runner,
            store=PostgresIdentities(pool, settings.worker),
            deduplication=deduplication,
            definitions=definitions.current,
        )
        try:
            run(working, settings, health)
        finally:
            deduplication.close()
            pool.terminate()


async def _pool(settings: IdentitySettings, health: Health) -> Any:
    pool = await connect(settings.postgres_dsn.get_secret_value(), health, size=1)
    await migrate(pool, "identity", STEPS)
    return pool
