"""What of a batch is sent: destinations.md §7 compaction, rulings 15 and 17."""

import itertools

import pytest

from services.activator.domain.fold import Entry, fold, plan
from services.activator.domain.outcomes import Outcome
from tests.unit.activator.builders import change


def test_s7_the_newest_version_of_each_audience_and_profile_stays() -> None:
    first, second = change(version=1), change(version=2, member=False)
    other, elsewhere = change("p_43"), change(audience_id="buyers")
    newest, replaced = fold([first, other, second, elsewhere])
    assert newest == (other, second, elsewhere)
    assert [(s.change, s.reason) for s in replaced] == [(first, "superseded")]


def test_s8_reversal_and_duplication_end_in_the_newest_version() -> None:
    versions = [change(version=v, member=v % 2 == 1) for v in (1, 2, 3)]
    for order in itertools.permutations([*versions, versions[2]]):
        newest, _ = fold(order)
        assert newest == (versions[2],)


def test_a_repeated_record_is_no_superseded_one() -> None:
    assert fold([change(), change()]) == ((change(),), ())


@pytest.mark.parametrize(
    ("version", "entry", "reason"),
    [
        (1, None, None),
        (2, Entry(version=1, outcome=Outcome.DELIVERED), None),
        (2, Entry(version=1, outcome=Outcome.RETRY), None),
        (1, Entry(version=1), None),
        (1, Entry(version=2, outcome=Outcome.DELIVERED), "stale"),
        (1, Entry(version=2, outcome=Outcome.RETRY), "stale"),
        (1, Entry(version=1, outcome=Outcome.DELIVERED), "already_delivered"),
        (1, Entry(version=1, outcome=Outcome.ACCEPTED), "already_delivered"),
        (1, Entry(version=1, outcome=Outcome.THROTTLED), "already_waiting"),
        (1, Entry(version=1, outcome=Outcome.CONFIG), "already_waiting"),
        (1, Entry(version=1, outcome=Outcome.PERMANENT), "already_settled"),
    ],
)
def test_ruling_15_only_news_is_sent(version: int, entry: Entry | None, reason: str | None) -> None:
    news = change(version=version)
    planned = plan([news], {} if entry is None else {news.key: entry})
    assert planned.send == ((news,) if reason is None else ())
    assert [s.reason for s in planned.skipped] == ([reason] if reason else [])


@pytest.mark.parametrize(
    "entry", [None, Entry(version=1, outcome=Outcome.SKIPPED), Entry(version=1)]
)
def test_ruling_17_a_remove_of_what_was_never_sent_is_skipped(entry: Entry | None) -> None:
    remove = change(version=2, member=False)
    planned = plan([remove], {} if entry is None else {remove.key: entry})
    assert (planned.send, planned.skipped) == ((), ())
    assert [s.reason for s in planned.settled] == ["never_sent"]


def test_ruling_17_a_remove_goes_out_when_the_add_may_have_arrived() -> None:
    remove = change(version=2, member=False)
    planned = plan([remove], {remove.key: Entry(version=1, touched=True)})
    assert planned.send == (remove,)
