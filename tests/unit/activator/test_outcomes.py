"""How answers are read: destinations.md §3 and the webhook's own rows."""

from datetime import UTC, datetime, timedelta

import pytest

from services.activator.destinations.webhook import CONTRACT
from services.activator.domain.classify import readings
from services.activator.domain.naming import Place
from services.activator.domain.outcomes import (
    Failure,
    Outcome,
    Reading,
    Response,
    read_status,
    retry_after,
)
from services.activator.domain.row_reading import Asked

NOW = datetime(2026, 1, 15, 9, 30, tzinfo=UTC)


def webhook(status: int, headers: dict[str, str]) -> Reading:
    endpoint = CONTRACT.endpoint("add_member", "single")
    assert endpoint is not None
    asked = Asked(contract=CONTRACT, endpoint=endpoint, places=[Place(0)], now=NOW)
    (reading,) = readings(Response(status, headers), asked)
    return reading


@pytest.mark.parametrize(
    ("statuses", "outcome"),
    [
        ((200, 201, 202, 204, 299), Outcome.DELIVERED),
        ((300, 301, 304, 307, 399), Outcome.PERMANENT),
        ((400, 404, 405, 406, 409, 410, 415, 422), Outcome.PERMANENT),
        ((401,), Outcome.AUTH),
        ((403,), Outcome.CONFIG),
        ((408, 425, 500, 502, 503, 504, 599), Outcome.RETRY),
        ((413,), Outcome.SPLIT),
        ((429,), Outcome.THROTTLED),
        ((600, 100), Outcome.RETRY),
    ],
)
def test_s3_default_reading_of_each_status(statuses: tuple[int, ...], outcome: Outcome) -> None:
    assert {read_status(Response(s, {}), NOW).outcome for s in statuses} == {outcome}


@pytest.mark.parametrize(
    ("statuses", "outcome"),
    [
        ((200, 202, 204), Outcome.DELIVERED),
        ((301, 302, 307, 308, 400, 401, 403, 404, 413, 422, 500, 502, 504), Outcome.RETRY),
        ((410,), Outcome.CONFIG),
        ((429,), Outcome.THROTTLED),
        ((503,), Outcome.RETRY),
    ],
)
def test_s6_1_webhook_reading_of_each_status(statuses: tuple[int, ...], outcome: Outcome) -> None:
    assert {webhook(s, {}).outcome for s in statuses} == {outcome}


@pytest.mark.parametrize("status", [429, 503, 500, 404])
def test_s3_retry_after_is_honoured_on_any_status(status: int) -> None:
    reading = webhook(status, {"retry-after": "17"})
    assert reading.retry_after == timedelta(seconds=17)


@pytest.mark.parametrize(
    ("text", "wait"),
    [
        ("120", timedelta(minutes=2)),
        (" 0 ", timedelta(0)),
        ("Thu, 15 Jan 2026 09:31:00 GMT", timedelta(minutes=1)),
        ("Thu, 15 Jan 2026 09:00:00 GMT", timedelta(0)),
        ("Fri, 31 Dec 9999 23:59:59 GMT", timedelta(days=1)),
        ("999999999", timedelta(days=1)),
        ("9" * 5000, None),
        ("²", None),
        ("soon", None),
        ("-5", None),
        ("", None),
        (None, None),
    ],
)
def test_s3_retry_after_is_seconds_or_a_date(text: str | None, wait: timedelta | None) -> None:
    assert retry_after(text, NOW) == wait


def test_a_call_without_answer_is_read_as_its_failure() -> None:
    reading = read_status(Failure(Outcome.RETRY, "timeout"), NOW)
    assert (reading.outcome, reading.reason, reading.status) == (Outcome.RETRY, "timeout", None)
