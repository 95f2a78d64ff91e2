"""How a service's process ends: the line it logs and its exit code."""

import signal
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException
from structlog.testing import capture_logs

from services.runtime.delivery import TooManyRejects
from services.runtime.health import PortTaken
from services.runtime.kafka import UnknownTopic
from services.runtime.main import main
from services.runtime.partitions import CannotOwn, Gap
from services.runtime.position import NewerState, OlderState
from services.runtime.postgres import NewerDatabase
from services.runtime.restore import StateDiffers

USER_DATA = "jane@example.com"


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def ended(serve_stage: Callable[[], None]) -> tuple[Any, list[MutableMapping[str, Any]]]:
    with capture_logs() as lines, pytest.raises(SystemExit) as exited:
        main("segmenter", serve_stage)
    return exited.value.code, lines


def raising(error: BaseException) -> Callable[[], None]:
    def serve_stage() -> None:
        raise error

    return serve_stage


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (CannotOwn("a sentence"), 2),
        (NewerState("a sentence"), 2),
        (OlderState("a sentence"), 2),
        (NewerDatabase("a sentence"), 2),
        (StateDiffers("a sentence"), 1),
        (TooManyRejects("a sentence"), 1),
        (Gap("a sentence"), 1),
        (PortTaken("a sentence"), 1),
        (UnknownTopic("a sentence"), 1),
    ],
)
def test_an_error_of_ours_is_its_sentence(error: Exception, code: int) -> None:
    assert ended(raising(error)) == (
        code,
        [
            {
                "event": "stopped",
                "log_level": "error",
                "service": "segmenter",
                "error": type(error).__name__,
                "reason": "a sentence",
            }
        ],
    )


def test_an_error_of_kafka_is_what_the_client_says() -> None:
    code, (line,) = ended(raising(KafkaException(KafkaError(KafkaError._TIMED_OUT))))
    assert code == 1
    assert line["reason"] == "Kafka: Local: Timed out (_TIMED_OUT)"


def test_a_bug_is_where_it_was_raised_without_its_message() -> None:
    def serve_stage() -> None:
        try:
            raise ValueError(USER_DATA)
        except ValueError as error:
            raise KeyError(USER_DATA) from error

    code, (line,) = ended(serve_stage)
    assert code == 1
    assert line["error"] == "KeyError"
    assert "in serve_stage" in line["traceback"]
    assert "from ValueError" in line["traceback"]
    assert USER_DATA not in str(line)


def test_a_service_that_ends_by_itself_ends_well() -> None:
    main("segmenter", lambda: None)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_waiting_service_can_be_told_to_stop(number: signal.Signals) -> None:
    assert ended(lambda: signal.raise_signal(number)) == (0, [])
