"""Wires the warehouse's two processes: the reader of one topic, and the keeper of all readers."""

import signal
import sys
import time
from functools import partial
from typing import Any

import structlog

from services.runtime.delivery import TooManyRejects
from services.runtime.health import Health
from services.runtime.kafka import UnknownTopic, partition_count, wait_for_kafka
from services.runtime.main import main
from services.runtime.processor import run
from services.runtime.secrets import UnresolvedSecret
from services.runtime.serving import serving
from services.runtime.settings import read
from services.runtime.stage import Blocked
from services.warehouse import metrics
from services.warehouse.domain.canonical import Digests
from services.warehouse.plan import Reading, readings
from services.warehouse.readers import keep_readers
from services.warehouse.settings import WarehouseSettings
from services.warehouse.streams import DebeziumStage

log = structlog.get_logger()

USAGE = "usage: python -m services.warehouse [reader SOURCE TOPIC]"
LOOK_EVERY_S = 1.0


def command() -> None:
    """The process that the arguments name."""
    match sys.argv[1:]:
        case []:
            main("warehouse", _keeper)
        case ["reader", source_id, topic]:
            main("warehouse", partial(_reader, f"{source_id}/{topic}"))
        case _:
            sys.exit(USAGE)


def _keeper() -> None:
    settings = read(WarehouseSettings)
    with serving("warehouse", settings) as served:
        keep_readers(settings, served.health, served.definitions)


def _reader(name: str) -> None:
    settings = read(WarehouseSettings)
    with serving("warehouse-reader", settings) as served:
        reading = readings(served.definitions.current()).get(name)
        if reading is not None:
            _read(reading, settings, served.health)


def _read(reading: Reading, settings: WarehouseSettings, health: Health) -> None:
    if settings.tenant_key is None:
        raise UnresolvedSecret("AFFLUX_TENANT_KEY is not set")
    stage = DebeziumStage(
        source=reading.source,
        topic=reading.topic,
        models=reading.models,
        digests=Digests(settings.tenant_key.get_secret_value().encode()),
    )
    standing = Standing(reading, stage)
    health.details = standing.status
    _wait_for_topic(reading.topic, settings, health)
    try:
        run(stage, settings, health)
    except Blocked as blocked:
        _wait_for_person(blocked.reason, str(blocked), standing, health)
    except TooManyRejects as refused:
        _wait_for_person("too_many_rejects", str(refused), standing, health)


class Standing:
    """How one topic stands, for `afflux status`."""

    def __init__(self, reading: Reading, stage: DebeziumStage) -> None:
        self._reading = reading
        self._stage = stage
        self.blocked: str | None = None

    def status(self) -> dict[str, Any]:
        heard = self._stage.heard_at
        return {
            "warehouse": {
                "source": self._reading.source.id,
                "topic": self._reading.topic,
                "state": self._state(),
                "reason": self.blocked,
                "heard_s": round(time.time() - heard / 1000) if heard else None,
            }
        }

    def _state(self) -> str:
        if self.blocked is not None:
            return "blocked"
        if not self._stage.partitions:
            return "checking"
        return "snapshotting" if self._stage.snapshotting else "streaming"


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
    standing.blocked = reason
    health.not_ready(f"blocked: {reason}: {sentence}")
    while True:
        signal.pause()
