"""Reading, writing and correcting instants (contract §9)."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain import times

NOON = 1_423_145_408_276  # 2015-02-05T14:10:08.276Z

READABLE: list[tuple[Any, str]] = [
    ("2015-02-02T00:30:08.276Z", "2015-02-02T00:30:08.276Z"),
    ("2015-2-02T00:30:08.276Z", "2015-02-02T00:30:08.276Z"),
    ("2026-11-23T12:23:50.278978+00:00", "2026-11-23T12:23:50.278Z"),
    ("2026-11-23T12:23:50.278+0000", "2026-11-23T12:23:50.278Z"),
    ("2026-11-23T12:23:50.999999999Z", "2026-11-23T12:23:50.999Z"),
    ("2026-11-23T12:23:50.5Z", "2026-11-23T12:23:50.500Z"),
    ("2026-11-23T12:23:50.Z", "2026-11-23T12:23:50.000Z"),
    ("2026-11-23T12:23:50Z", "2026-11-23T12:23:50.000Z"),
    ("2026-11-23 12:23:50", "2026-11-23T12:23:50.000Z"),
    ("2026-11-23T12:23", "2026-11-23T12:23:00.000Z"),
    ("2026-11-23", "2026-11-23T00:00:00.000Z"),
    ("2026-11-23T12:23:50.1+05:30", "2026-11-23T06:53:50.100Z"),
    ("2026-11-23T12:23:50-01", "2026-11-23T13:23:50.000Z"),
    (" 2026-11-23T12:23:50Z ", "2026-11-23T12:23:50.000Z"),
    ("1969-12-31T23:59:59.9999Z", "1969-12-31T23:59:59.999Z"),
    (99_999_999_999, "5138-11-16T09:46:39.000Z"),
    (100_000_000_000, "1973-03-03T09:46:40.000Z"),
    (1_795_436_635_765, "2026-11-23T12:23:55.765Z"),
    (1_795_436_635, "2026-11-23T12:23:55.000Z"),
    (1_700_000_000.123, "2023-11-14T22:13:20.123Z"),
    (0, "1970-01-01T00:00:00.000Z"),
]
UNREADABLE: list[Any] = [
    None,
    True,
    "",
    "now",
    "2026-13-01",
    "2026-02-30T00:00:00Z",
    "2026-11-23T25:00:00Z",
    "2026-11-23T12:23:50+99:00",
    "20261123T122350Z",
    "2026-W47-1T12:23:50Z",
    "0001-01-01T00:00:00+01:00",
    "1795436635765",
    1e300,
    float("inf"),
    -1e15,
    [],
    {},
]


@pytest.mark.parametrize(("value", "written"), READABLE)
def test_9_a_time_is_read_in_many_forms_and_written_in_one(value: Any, written: str) -> None:
    instant = times.read(value)
    assert instant is not None
    assert times.write(instant) == written


@pytest.mark.parametrize("value", UNREADABLE)
def test_9_what_is_no_time_is_absent(value: Any) -> None:
    assert times.read(value) is None


def test_9_the_worked_example() -> None:
    original, sent, received = (
        times.read(f"2026-01-01T{clock}Z") for clock in ("10:00:00", "10:00:05", "09:00:06.250")
    )
    assert original is not None
    assert sent is not None
    assert received is not None
    corrected = times.corrected(original, sent=sent, received=received)
    assert times.write(corrected) == "2026-01-01T09:00:01.250Z"


def test_9_a_future_time_stays_in_the_future() -> None:
    assert times.corrected(NOON + 9_000, sent=NOON, received=NOON + 1_000) == NOON + 10_000


@pytest.mark.parametrize("skew", [-(10**13), 10**15])
def test_9_a_result_outside_1970_to_9999_falls_back_to_receipt(skew: int) -> None:
    assert times.corrected(NOON + skew, sent=NOON, received=NOON) == NOON


@given(st.integers(-62_135_596_800_000, 253_402_300_799_999))
def test_what_is_written_reads_back_the_same(instant: int) -> None:
    assert times.read(times.write(instant)) == instant


@given(st.text())
def test_no_text_breaks_the_reader(text: str) -> None:
    times.read(text)


@given(st.datetimes(), st.sampled_from("T "), st.sampled_from(["Z", "+00:00", "", "+0530", "-08"]))
def test_the_quick_reader_agrees_with_the_thorough_one(moment: Any, gap: str, zone: str) -> None:
    text = moment.isoformat(sep=gap, timespec="microseconds") + zone
    assert times._read_extended(text) == times._read_any(text)
