"""Wires the warehouse's processes: connector of a source, reader of a topic, keeper of all."""

import signal
import sys
import time
from collections.abc import Callable
from functools import partial

import structlog

from schemas.topics import changes
from services.runtime.delivery import TooManyRejects
from services.runtime.health import Health
from services.runtime.kafka import (
    UnknownTopic,
    create_topics,
    partition_count,
    wait_for_kafka,
)
from services.runtime.main import main
from services.runtime.processor import run
from services.runtime.serving import serving
from services.runtime.settings import read
from services.runtime.stage import Blocked
from services.warehouse import metrics
from services.warehouse.connecting import Served
from services.warehouse.connector import connect_source, pause_source, remove_source
from services.warehouse.domain.canonical import Digests
from services.warehouse.domain.source import DebeziumSource
from services.warehouse.plan import Job, jobs
from services.warehouse.readers import keep_readers
from services.warehouse.settings import WarehouseSettings
from services.warehouse.standing import Standing
from services.warehouse.streams import RowStage

log = structlog.get_logger()

USAGE = (
    "usage: python -m services.warehouse"
    " [reader SOURCE TOPIC | connector SOURCE | pauser SOURCE | remover SOURCE]"
)
LOOK_EVERY_S = 1.0


def command() -> None:
    """The process that the arguments name."""
    match sys.argv[1:]:
        case []:
            main("warehouse", _keeper)
        case ["reader", source_id, topic]:
            main("warehouse", partial(_serve, f"{source_id}/{topic}", _read))
        case ["connector", source_id]:
            main("warehouse", partial(_serve, source_id, connect_source))
        case ["pauser", source_id]:
            main("warehouse", partial(_serve, source_id, pause_source))
        case ["remover", source_id]:
            main("warehouse", partial(_serve, source_id, remove_source))
        case _:
            sys.exit(USAGE)


def _keeper() -> None:
    settings = read(WarehouseSettings)
    with serving("warehouse", settings) as served:
        keep_readers(settings, served.health, served.definitions)


def _serve(name: str, work: Callable[[Job, Served], None]) -> None:
    """The work of one process, if its definitions are still in force."""
    settings = read(WarehouseSettings)
    with serving("warehouse-reader", settings) as served:
        job = jobs(served.definitions.current()).get(name)
        if job is None:
            return
        standing = Standing(job.source.id, job.topic or changes(job.source.id).name)
        served.health.details = standing.status
        try:
            work(job, Served(settings, served.health, standing))
        except Blocked as blocked:
            _wait_for_person(blocked.reason, str(blocked), standing, served.health)
        except TooManyRejects as refused:
            _wait_for_person("too_many_rejects", str(refused), standing, served.health)


def _read(job: Job, served: Served) -> None:
    stage = RowStage(
        source=job.source,
        topic=served.standing.topic,
        models=job.models,
        digests=Digests(served.settings.key()),
        standing=served.standing,
    )
    if isinstance(job.source, DebeziumSource):
        _wait_for_topic(served.standing.topic, served.settings, served.health)
    else:
        create_topics(served.settings.kafka_bootstrap, [changes(job.source.id)], 1)
    run(stage, served.settings, served.health)


def _wait_for_topic(topic: str, settings: WarehouseSettings, health: Health) -> None:
    """Debezium creates a topic with its first message."""
    admin = wait_for_kafka(settings.kafka_bootstrap, health)
    while True:
        try:
            partition_count(admin, topic)
            return
        except UnknownTopic:
            health.not_ready(f"waiting for the topic {topic}")
            time.sleep(LOOK_EVERY_S)


def _wait_for_person(reason: str, sentence: str, standing: Standing, health: Health) -> None:
    """Until a changed source or model has the keeper end this process; nothing is read."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    log.error("blocked", reason=reason, sentence=sentence)
    metrics.BLOCKED.labels(reason).set(1)
    standing.state, standing.reason = "blocked", reason
    health.not_ready(f"blocked: {reason}: {sentence}")
    while True:
        signal.pause()
