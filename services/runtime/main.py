"""How a service's process ends: one JSON line says why, and the exit code whether to try again."""

import signal
import sys
import traceback
from collections.abc import Callable
from types import FrameType

import structlog
from confluent_kafka import KafkaError, KafkaException

from services.runtime.delivery import TooManyRejects
from services.runtime.health import PortTaken
from services.runtime.kafka import UnknownTopic
from services.runtime.partitions import CannotOwn, Gap
from services.runtime.position import NewerState, OlderState
from services.runtime.postgres import NewerDatabase
from services.runtime.restore import StateDiffers
from services.runtime.secrets import UnresolvedSecret
from services.runtime.unfinished import Undecided

log = structlog.get_logger()

FAILED = 1
"""Start again."""
REFUSED = 2
"""Starting again would end the same way: somebody has to act on the sentence first."""

_MENDABLE = (
    StateDiffers,
    TooManyRejects,
    Gap,
    PortTaken,
    UnknownTopic,
    UnresolvedSecret,
    Undecided,
)
_FINAL = (CannotOwn, NewerState, OlderState, NewerDatabase)


def main(service: str, serve_stage: Callable[[], None]) -> None:
    """Run a service until it is told to stop (exit code 0) or cannot go on (1, or 2: refused).

    Until `serve_stage` takes the signals over, SIGTERM and SIGINT end the process with 0, so that
    a service that waits for Kafka or PostgreSQL can be stopped.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)
    try:
        serve_stage()
    except _FINAL as refusal:
        _stopped(service, refusal, str(refusal))
        sys.exit(REFUSED)
    except _MENDABLE as failure:
        _stopped(service, failure, str(failure))
        sys.exit(FAILED)
    except KafkaException as failure:
        _stopped(service, failure, _sentence(failure))
        sys.exit(FAILED)
    except Exception as bug:
        log.error("stopped", service=service, error=type(bug).__name__, traceback=_frames(bug))
        sys.exit(FAILED)


def _leave(number: int, frame: FrameType | None) -> None:
    sys.exit(0)


def _stopped(service: str, error: Exception, reason: str) -> None:
    log.error("stopped", service=service, error=type(error).__name__, reason=reason)


def _sentence(failure: KafkaException) -> str:
    error = failure.args[0] if failure.args else None
    return f"Kafka: {error.str()} ({error.name()})" if isinstance(error, KafkaError) else "Kafka"


def _frames(error: BaseException) -> str:
    """Where it was raised and from what; without the messages, which may quote user data."""
    text = [type(error).__name__, *traceback.format_tb(error.__traceback__)]
    cause = error.__cause__ or error.__context__
    return "\n".join(line.rstrip() for line in text) + (f"\nfrom {_frames(cause)}" if cause else "")
