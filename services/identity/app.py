"""Wiring of the identity service: reads the settings, builds the clients, turns the loop."""

import asyncio
from contextlib import closing
from typing import Any

from schemas.topics import EVENTS
from services.identity.deduplication import Deduplication
from services.identity.migrations import STEPS
from services.identity.past import PastOfTopic
from services.identity.settings import IdentitySettings
from services.identity.store import PostgresIdentities
from services.identity.streams import IdentityStage
from services.runtime.health import Health
from services.runtime.main import main as run_service
from services.runtime.postgres import connect, migrate
from services.runtime.processor import run
from services.runtime.serving import serving
from services.runtime.settings import read


def main(stage: type[IdentityStage] = IdentityStage) -> None:
    """Run one worker until it is told to stop."""
    settings = read(IdentitySettings)
    run_service(IdentityStage.name, lambda: _work(stage, settings))


def _work(stage: type[IdentityStage], settings: IdentitySettings) -> None:
    directory = settings.state_dir / f"identity-seen-{settings.worker}"
    past = PastOfTopic(settings.kafka_bootstrap, EVENTS)
    with (
        serving(IdentityStage.name, settings) as served,
        closing(Deduplication(directory, past)) as deduplication,
        asyncio.Runner() as runner,
    ):
        pool = runner.run(_pool(settings, served.health))
        working = stage(
            settings=settings,
            health=served.health,
            runner=runner,
            store=PostgresIdentities(pool, settings.worker),
            deduplication=deduplication,
            definitions=served.definitions.current,
        )
        try:
            run(working, settings, served.health)
        finally:
            pool.terminate()


async def _pool(settings: IdentitySettings, health: Health) -> Any:
    pool = await connect(settings.postgres_dsn.get_secret_value(), health, size=1)
    await migrate(pool, "identity", STEPS)
    return pool
