"""Wires the segmenter: settings, the workspace in force, the loop."""

from services.runtime.main import main as run_service
from services.runtime.processor import run
from services.runtime.serving import serving
from services.runtime.settings import read
from services.segmenter.settings import SegmenterSettings
from services.segmenter.streams import Segmenter


def main() -> None:
    """Run one worker until it is told to stop."""
    settings = read(SegmenterSettings)
    run_service(Segmenter.name, lambda: _work(settings))


def _work(settings: SegmenterSettings) -> None:
    with serving(Segmenter.name, settings) as served:
        run(Segmenter(settings, served.definitions.current), settings, served.health)
