"""Wires the segmenter: settings, the workspace in force, the loop."""

import gc
from contextlib import closing

from confluent_kafka.admin import AdminClient

from schemas.topics import PROFILE_EVENTS
from services.runtime.kafka import client, create_topics, partition_count
from services.runtime.main import main as run_service
from services.runtime.processor import run
from services.runtime.serving import serving
from services.runtime.settings import read
from services.segmenter.auditing import Auditing
from services.segmenter.rereading import Rereading
from services.segmenter.settings import SegmenterSettings
from services.segmenter.streams import Segmenter


def main() -> None:
    """Run one worker until it is told to stop."""
    settings = read(SegmenterSettings)
    run_service(Segmenter.name, lambda: _work(settings))


def _work(settings: SegmenterSettings) -> None:
    with serving(Segmenter.name, settings) as served:
        create_topics(settings.kafka_bootstrap, (PROFILE_EVENTS,), settings.partitions)
        admin = AdminClient(client(settings.kafka_bootstrap))
        count = partition_count(admin, PROFILE_EVENTS.name)
        with (
            closing(Rereading(settings.kafka_bootstrap, PROFILE_EVENTS.name, count)) as past,
            closing(Auditing(settings, served.definitions.current)) as auditing,
        ):
            auditing.start()
            stage = Segmenter(settings, served.definitions.current, past)
            served.health.details = stage.status
            collect_rarely()
            run(stage, settings, served.health)


def collect_rarely() -> None:
    """Profiles hold no cycles; looking for some by default costs a twentieth, and long pauses."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
