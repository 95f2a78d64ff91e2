"""Wires the segmenter: settings, logs, health, definitions, the loop."""

from services.runtime import logs
from services.runtime.definitions import Definitions
from services.runtime.health import Health, serve
from services.runtime.processor import run
from services.runtime.settings import read
from services.segmenter.settings import SegmenterSettings
from services.segmenter.streams import Segmenter


def main() -> None:
    """Run one worker until it is told to stop."""
    settings = read(SegmenterSettings)
    logs.configure("segmenter", settings.log_level)
    health = Health("segmenter", settings.worker)
    server = serve(health, settings.health_host, settings.health_port)
    definitions = Definitions(settings.kafka_bootstrap)
    health.definitions = definitions.versions
    definitions.start()
    try:
        run(Segmenter(settings, definitions.current), settings, health)
    finally:
        definitions.close()
        server.close()
