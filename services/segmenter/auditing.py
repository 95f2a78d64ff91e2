"""The running segmenter checks itself: a rotating sample is recomputed from the log, quietly.

A thread of its own, slowed down so that live events do not notice. Each pass takes another sample;
its share is what the last pass says about how many profiles there are.
"""

import threading
from collections.abc import Callable
from time import monotonic

import msgspec
import structlog
from confluent_kafka import KafkaException

from schemas.problems import Invalid
from services.runtime.definitions import Snapshot
from services.runtime.kafka import UnknownTopic
from services.segmenter import metrics
from services.segmenter.audit import Manner, audit
from services.segmenter.domain.audit import Audit
from services.segmenter.domain.segment import Segment, parse_segment
from services.segmenter.settings import SegmenterSettings

log = structlog.get_logger()

_FIRST_SHARE = 0.01
_STEADY = 4.0
"""The share changes by no more than this factor from pass to pass."""
_SHOWN = 20
_LAST_WAIT_S = 5.0
"""It may hang in a call to a broker that is away; the process ends without it."""


class Stopped(Exception):
    """The process is to end."""


class Auditing:
    """Passes follow each other until it is closed; nothing that goes wrong in one ends it."""

    def __init__(self, settings: SegmenterSettings, definitions: Callable[[], Snapshot]) -> None:
        self._settings = settings
        self._definitions = definitions
        self._share = _FIRST_SHARE
        self._stopping = threading.Event()
        self._pace = Pace(settings.audit_records_per_second, self._rest)
        self._thread = threading.Thread(target=self._work, name="audit", daemon=True)

    def start(self) -> None:
        """Begin, unless the settings say that nobody is to be checked."""
        if self._settings.audit_profiles:
            self._thread.start()

    def close(self) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout=_LAST_WAIT_S)

    def _work(self) -> None:
        count = 0
        while not self._stopping.wait(self._settings.audit_interval_s):
            count += 1
            try:
                self._pass(f"{self._settings.worker} {count}"[-16:].encode())
            except Stopped:
                return
            except (KafkaException, UnknownTopic) as error:
                log.warning("an audit was given up", error=str(error))
            except Exception:  # the segmenter goes on without it, and the counter stands still
                log.exception("an audit failed")

    def _pass(self, salt: bytes) -> None:
        settings = self._settings
        manner = Manner(
            self._share,
            salt,
            self._pace,
            self._rest,
            settings.most_entries,
            settings.audit_patience_s,
        )
        newest = _segments(self._definitions())
        found = audit(self._settings.kafka_bootstrap, newest, manner)
        _report(found)
        self._share = next_share(self._share, found.profiles, self._settings.audit_profiles)

    def _rest(self, seconds: float) -> None:
        if self._stopping.wait(max(0.0, seconds)):
            raise Stopped


class Pace:
    """So many records a second; told how many were read so far, it rests as long as it takes."""

    def __init__(self, per_second: int, rest: Callable[[float], None]) -> None:
        self._per_second = per_second
        self._rest = rest
        self._last = (0, monotonic())

    def __call__(self, count: int) -> None:
        before, then = self._last
        ahead = then + max(0, count - before) / self._per_second - monotonic()
        self._rest(min(ahead, 5.0))
        self._last = count, monotonic()


def next_share(share: float, profiles: int, wanted: int) -> float:
    """The share that gives about the wanted number of profiles, approached step by step."""
    factor = wanted / profiles if profiles else _STEADY
    return min(1.0, share * min(max(factor, 1 / _STEADY), _STEADY))


def _report(found: Audit) -> None:
    metrics.AUDIT_CHECKED.inc(found.compared)
    metrics.AUDIT_MISMATCHES.inc(len(found.differences))
    for each in found.differences[:_SHOWN]:
        log.error(
            "a membership is not what the log says",
            profile_id=each.profile_id,
            segment_id=each.segment_id,
            stream=each.stream,
            recomputed=each.recomputed,
        )


def _segments(snapshot: Snapshot) -> dict[str, Segment]:
    found = {}
    for (kind, name), each in snapshot.items():
        if kind == "segment":
            try:
                document = msgspec.json.decode(each.body)
                found[name] = parse_segment(document, version=each.version, state=each.state)
            except (Invalid, msgspec.DecodeError):
                log.warning("a segment's definition cannot be read", segment_id=name)
    return found
