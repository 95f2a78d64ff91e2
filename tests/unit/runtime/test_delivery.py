"""Dead letters, the limit of rejects, and waits between attempts."""

from collections.abc import Sequence
from datetime import timedelta

import pytest

from schemas.codec import encode
from schemas.records import DeadLetter, Event
from services.runtime.delivery import RejectLimit, RetryPolicy, TooManyRejects, dead_letter
from services.runtime.outcome import Reject
from services.runtime.stage import Raw, Received
from tests.unit.runtime.builders import received

EVENT = Event(
    source_id="web", message_id="m", type="track", timestamp=1, received_at=2, payload=b"{}"
)


def test_r9_dead_letter_tells_where_the_message_came_from() -> None:
    message = Received("afflux.events.v1", 3, 17, 99, b"key", encode(EVENT), EVENT)
    assert dead_letter("identity", message, Reject("no_identifier", "a sentence")) == DeadLetter(
        code="no_identifier",
        message="a sentence",
        stage="identity",
        source_id="web",
        topic="afflux.events.v1",
        partition=3,
        offset=17,
        received_at=99,
        raw=encode(EVENT),
    )


def test_dead_letter_of_what_cannot_be_decoded_has_no_source() -> None:
    letter = dead_letter("identity", Raw("t", 0, 1, 2, b"", b"x"), Reject("undecodable", "why"))
    assert (letter.source_id, letter.raw) == (None, b"x")


def test_r9_a_hundred_rejects_in_a_row_are_too_many() -> None:
    limit = RejectLimit()
    for _ in range(99):
        limit.rejected()
    with pytest.raises(TooManyRejects, match="100 rejects in a row"):
        limit.rejected()


def test_r9_a_handled_message_ends_the_row() -> None:
    limit = RejectLimit()
    for _ in range(5):
        for _ in range(99):
            limit.rejected()
        limit.handled(1)


def rejects(batch: Sequence[Raw], why: Reject) -> dict[tuple[str, int, int], Reject]:
    return {(each.topic, each.partition, each.offset): why for each in batch}


OURS = Reject("undecodable", "a sentence")
THEIRS = Reject("no_identifier", "a sentence", foreseen=True)


def test_r9_rejects_scattered_over_one_batch_are_no_row() -> None:
    batch = [received(offset) for offset in range(4000)]
    RejectLimit().judge(batch, rejects(batch[::25], OURS))


def test_r9_a_row_may_begin_in_one_batch_and_end_in_the_next() -> None:
    limit = RejectLimit()
    batch = [received(offset) for offset in range(60)]
    limit.judge(batch, rejects(batch, OURS))
    with pytest.raises(TooManyRejects):
        limit.judge(batch, rejects(batch, OURS))


def test_bad_input_that_a_contract_names_never_stops_a_stage() -> None:
    batch = [received(offset) for offset in range(20_000)]
    RejectLimit().judge(batch, rejects(batch, THEIRS))


def test_r9_over_five_percent_of_ten_thousand_are_too_many() -> None:
    limit = RejectLimit()
    for _ in range(500):
        limit.handled(10)
        limit.rejected()
    with pytest.raises(TooManyRejects, match="501 of the last"):
        limit.rejected()


def test_r9_old_rejects_are_forgotten() -> None:
    limit = RejectLimit()
    for _ in range(5):
        for _ in range(400):
            limit.handled(10)
            limit.rejected()
        limit.handled(10_000)


POLICY = RetryPolicy((timedelta(seconds=1), timedelta(seconds=10)))


@pytest.mark.parametrize(("attempt", "seconds"), [(1, 1), (2, 10), (3, None), (9, None)])
def test_delays_are_used_in_order_and_run_out(attempt: int, seconds: int | None) -> None:
    expected = None if seconds is None else timedelta(seconds=seconds)
    assert POLICY.delay(attempt, random=0.7) == expected


@pytest.mark.parametrize(("random", "seconds"), [(0.0, 8), (0.5, 10), (0.75, 11)])
def test_jitter_goes_either_way(random: float, seconds: float) -> None:
    policy = RetryPolicy((timedelta(seconds=10),), jitter=0.2)
    assert policy.delay(1, random) == timedelta(seconds=seconds)
