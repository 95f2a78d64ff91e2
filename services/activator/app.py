"""Wires the activator's three processes: the router, one sender, the supervisor of all senders."""

import asyncio
import gc
import random
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from msgspec import to_builtins

from schemas.records import Definition
from schemas.topics import activations
from services.activator.clock import SystemClock
from services.activator.collecting import taking
from services.activator.domain.signature import BadSecret
from services.activator.handlers import Deliverer
from services.activator.instance import Instance, instance_of
from services.activator.ledger import Ledger
from services.activator.migrations import STEPS
from services.activator.router import Router
from services.activator.sender import (
    FaustDeadLetters,
    Sender,
    ending_on_error,
    faust_app,
)
from services.activator.senders import keep_senders
from services.activator.settings import ActivatorSettings
from services.activator.subscriptions import is_wanted
from services.activator.views import Views
from services.activator.ways_out import WayOut, way_out
from services.runtime.definitions import Definitions
from services.runtime.health import Health
from services.runtime.kafka import create_topics, partition_count, wait_for_kafka
from services.runtime.main import main
from services.runtime.postgres import connect, migrate
from services.runtime.processor import run
from services.runtime.secrets import UnresolvedSecret, resolve
from services.runtime.serving import serving
from services.runtime.settings import read

USAGE = "usage: python -m services.activator router | sender ID | senders"
FOLLOW_EVERY_S = 0.25
GARBAGE = 500_000
"""New objects between two looks for cycles: a batch has so many, and no cycles; looking for them
was a third of what a change cost."""

Serve = Callable[[ActivatorSettings, Health, Definitions], None]


def command() -> None:
    """The process that the arguments name."""
    match sys.argv[1:]:
        case ["router"]:
            main("router", partial(_served, "router", _router))
        case ["sender", destination_id]:
            main("sender", partial(_served, "sender", partial(_sender, destination_id)))
        case ["senders"]:
            main("senders", partial(_served, "senders", keep_senders))
        case _:
            sys.exit(USAGE)


def _served(service: str, serve_it: Serve) -> None:
    """What all have in common: settings, logs, health, and the workspace as it is in force."""
    settings = read(ActivatorSettings)
    with serving(service, settings) as served:
        serve_it(settings, served.health, served.definitions)


def _router(settings: ActivatorSettings, health: Health, definitions: Definitions) -> None:
    def topic_of(destination_id: str) -> int:
        topic = activations(destination_id)
        create_topics(settings.kafka_bootstrap, (topic,), settings.partitions)
        return partition_count(wait_for_kafka(settings.kafka_bootstrap), topic.name)

    with Views(settings.postgres_dsn.get_secret_value(), health) as views:
        run(Router(views, definitions.current, topic_of, settings.backfill_slice), settings, health)


def _sender(
    destination_id: str, settings: ActivatorSettings, health: Health, definitions: Definitions
) -> None:
    health.not_ready("waiting for the definition of the destination")
    while (definition := _in_force(definitions, destination_id)) is None:
        time.sleep(FOLLOW_EVERY_S)
    create_topics(settings.kafka_bootstrap, (activations(destination_id),), settings.partitions)
    asyncio.run(_deliver(Source(definition, settings), health, definitions))


@dataclass
class Source:
    """What a sender is made of, and of what it is made again."""

    definition: Definition
    settings: ActivatorSettings

    def made(self) -> tuple[Instance, WayOut]:
        """The instance, with its secrets as they are now, and its way out.

        Raises:
            UnresolvedSecret: a reference leads nowhere, or to no secret of this destination.
        """
        instance = _instance(self.definition, self.settings)
        return instance, way_out(instance)


async def _deliver(source: Source, health: Health, definitions: Definitions) -> None:
    settings, destination_id = source.settings, source.definition.id
    pool = await connect(settings.postgres_dsn.get_secret_value(), health)
    await migrate(pool, "activator", STEPS)
    taken = taking(_instance(source.definition, settings), settings)
    app = faust_app(destination_id, settings, taken)
    dead_letters = FaustDeadLetters(app)
    deliverer = Deliverer(
        source.made,
        ledger=Ledger(pool, destination_id),
        dead_letters=dead_letters,
        clock=SystemClock(),
        random=random.random,
    )
    await deliverer.open()
    health.details = lambda: {"destination": to_builtins(deliverer.standing())}
    sender = Sender(
        app,
        activations(destination_id),
        deliverer=deliverer,
        dead_letters=dead_letters,
        settings=settings,
        taking=taken,
    )
    gc.freeze()
    gc.set_threshold(GARBAGE, 20, 20)
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    follow = ending_on_error(_follow(source, deliverer, definitions, stopping))
    following = asyncio.create_task(follow)
    try:
        await sender.run(stopping, health.ready)
    finally:
        health.not_ready("stopping")
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await deliverer.close()
        await pool.close()


async def _follow(
    source: Source, deliverer: Deliverer, definitions: Definitions, stopping: asyncio.Event
) -> None:
    """Put a new version of the definition in force; end when the destination is no longer."""
    while True:
        await asyncio.sleep(FOLLOW_EVERY_S)
        definition = _in_force(definitions, source.definition.id)
        if definition is None:
            stopping.set()
            return
        if definition.version != source.definition.version:
            source.definition = definition
            await deliverer.replace()


def _in_force(definitions: Definitions, destination_id: str) -> Definition | None:
    definition = definitions.current().get(("destination", destination_id))
    return definition if definition is not None and is_wanted(definition) else None


def _instance(definition: Definition, settings: ActivatorSettings) -> Instance:
    try:
        return instance_of(definition, resolve, delays_s=settings.retry_delays_s)
    except BadSecret as error:
        raise UnresolvedSecret(f"destination {definition.id}: {error}") from error
