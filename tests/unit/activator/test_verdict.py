"""What follows from an answer: destinations.md §3, rulings 6, 7 and 23."""

from datetime import UTC, datetime, timedelta

import pytest

from services.activator.destinations.webhook import SCHEDULE
from services.activator.domain.outcomes import Outcome, Reading
from services.activator.domain.platform import GENERAL_SCHEDULE
from services.activator.domain.verdict import Attempt, Item, Verdict, verdict
from services.runtime.delivery import RetryPolicy
from tests.unit.activator.builders import change

NOW = datetime(2026, 1, 15, 9, 30, tzinfo=UTC)
POLICY = RetryPolicy(SCHEDULE.delays, SCHEDULE.jitter)


def judged(
    reading: Reading,
    *,
    now: datetime = NOW,
    arrived: bool = False,
    policy: RetryPolicy = POLICY,
    **item: object,
) -> Verdict:
    return verdict(
        Item(change=change(), **item),  # type: ignore[arg-type] # fields by name
        Attempt(
            reading=reading,
            sent_at=now,
            may_have_arrived=arrived or reading.may_have_arrived,
            paused_until=now + timedelta(minutes=1),
        ),
        now=now,
        delay=lambda attempts, waited: policy.delay(attempts, 0.5, waited),
    )


def test_ruling_7_ten_attempts_in_all_over_272105_seconds() -> None:
    waits = []
    for attempts in range(9):
        result = judged(Reading(Outcome.RETRY, "server_error"), attempts=attempts)
        assert result.next_attempt_at is not None
        waits.append((result.next_attempt_at - NOW).total_seconds())
    assert waits == [5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400]
    assert sum(waits) == 272_105
    last = judged(Reading(Outcome.RETRY, "server_error"), attempts=9)
    assert (last.outcome, last.reason, last.attempts) == (
        Outcome.PERMANENT,
        "retries_exhausted",
        10,
    )


@pytest.mark.parametrize(("random", "seconds"), [(0.0, 4), (0.5, 5), (0.999999, 6)])
def test_s6_1_delays_vary_by_a_fifth(random: float, seconds: float) -> None:
    delay = POLICY.delay(1, random)
    assert delay is not None
    assert delay.total_seconds() == pytest.approx(seconds, abs=0.001)


GENERAL = RetryPolicy(GENERAL_SCHEDULE.delays, GENERAL_SCHEDULE.jitter, GENERAL_SCHEDULE.within)


def test_s3_twelve_attempts_in_general() -> None:
    reading = Reading(Outcome.RETRY, "server_error")
    outcomes = [judged(reading, policy=GENERAL, attempts=made).outcome for made in range(12)]
    assert outcomes == [*[Outcome.RETRY] * 11, Outcome.PERMANENT]


@pytest.mark.parametrize(
    ("waited", "outcome"),
    [
        (timedelta(hours=24) - timedelta(milliseconds=1), Outcome.RETRY),
        (timedelta(hours=24), Outcome.PERMANENT),
    ],
)
def test_s3_no_attempt_after_24_hours_though_the_platform_asked_for_the_wait(
    waited: timedelta, outcome: Outcome
) -> None:
    reading = Reading(Outcome.RETRY, "overloaded", 503, timedelta(hours=6))
    first = judged(reading, policy=GENERAL)
    assert first.waiting_since == NOW
    later = judged(
        reading, policy=GENERAL, now=NOW + waited, waiting_since=first.waiting_since, attempts=4
    )
    assert later.outcome is outcome
    assert (later.reason == "retries_exhausted") is (outcome is Outcome.PERMANENT)


def test_ruling_7_a_webhook_is_called_for_longer_than_a_day() -> None:
    reading = Reading(Outcome.RETRY, "server_error")
    result = judged(reading, attempts=8, waiting_since=NOW - timedelta(hours=50))
    assert result.outcome is Outcome.RETRY


def test_ruling_6_an_overloaded_endpoint_states_its_wait_and_uses_up_an_attempt() -> None:
    reading = Reading(Outcome.RETRY, "overloaded", 503, timedelta(seconds=60))
    result = judged(reading)
    assert (result.attempts, result.next_attempt_at) == (1, NOW + timedelta(seconds=60))


def test_a_hint_never_shortens_the_schedule() -> None:
    reading = Reading(Outcome.RETRY, "overloaded", 503, timedelta(seconds=1))
    assert judged(reading).next_attempt_at == NOW + timedelta(seconds=5)


def test_s3_throttling_counts_no_attempt() -> None:
    result = judged(Reading(Outcome.THROTTLED, "throttled"), attempts=3)
    assert (result.outcome, result.attempts) == (Outcome.THROTTLED, 3)
    assert result.next_attempt_at == NOW + timedelta(minutes=1)
    assert result.waiting_since == NOW


def test_ruling_23_a_throttled_item_lives_for_24_hours() -> None:
    since = NOW - timedelta(hours=24)
    early = judged(Reading(Outcome.THROTTLED, "x"), waiting_since=since + timedelta(seconds=1))
    late = judged(Reading(Outcome.THROTTLED, "x"), waiting_since=since)
    assert early.outcome is Outcome.THROTTLED
    assert (late.outcome, late.reason) == (Outcome.PERMANENT, "throttled_too_long")


@pytest.mark.parametrize("outcome", [Outcome.AUTH, Outcome.CONFIG])
def test_s3_what_pauses_the_instance_keeps_the_item_without_counting(outcome: Outcome) -> None:
    result = judged(Reading(outcome, "gone"), attempts=2)
    assert (result.outcome, result.attempts, result.next_attempt_at) == (outcome, 2, None)


def test_s3_a_single_item_cannot_be_split() -> None:
    assert judged(Reading(Outcome.SPLIT, "too_large")).outcome is Outcome.PERMANENT


@pytest.mark.parametrize(
    ("outcome", "touched"),
    [
        (Outcome.DELIVERED, True),
        (Outcome.RETRY, True),
        (Outcome.THROTTLED, False),
        (Outcome.CONFIG, False),
        (Outcome.PERMANENT, False),
    ],
)
def test_ruling_17_an_add_that_may_have_arrived_is_remembered(
    outcome: Outcome, touched: bool
) -> None:
    assert judged(Reading(outcome, "x")).touched is touched


@pytest.mark.parametrize(("is_under_way", "touched"), [(True, True), (False, False)])
def test_ruling_17_a_removal_in_a_job_is_none_before_the_job_has_ended(
    is_under_way: bool, touched: bool
) -> None:
    reading = Reading(Outcome.ACCEPTED, "ok")
    attempt = Attempt(reading=reading, sent_at=NOW, is_under_way=is_under_way)
    item = Item(change=change(member=False), touched=True)
    result = verdict(item, attempt, now=NOW, delay=lambda _attempts, _waited: None)
    assert result.touched is touched


@pytest.mark.parametrize("outcome", [Outcome.AUTH, Outcome.CONFIG, Outcome.THROTTLED])
def test_ruling_17_an_add_of_which_a_part_arrived_is_remembered(outcome: Outcome) -> None:
    assert judged(Reading(outcome, "x"), arrived=True).touched
