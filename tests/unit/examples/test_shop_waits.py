"""The shop waits until the receiver knows everything, and not for calls that nobody has to make."""

import pytest

from examples.shop.__main__ import is_known
from examples.shop.receiver import Call
from schemas.records import MembershipChanged

AT = 1_768_469_400_000


def change(sequence: int, *, member: bool) -> MembershipChanged:
    return MembershipChanged(
        segment_id="s",
        segment_version=1,
        profile_id="p",
        member=member,
        sequence=sequence,
        occurred_at=AT,
        decided_at=AT,
        cause="event",
        cause_id="m",
        profile=b"{}",
    )


def call(version: int, *, member: bool) -> Call:
    return Call("s", "p", member, version, AT, AT, "event", frozenset())


@pytest.mark.parametrize(
    ("sequence", "member", "last", "known"),
    [
        (1, True, None, False),
        (2, False, None, True),
        (1, True, call(1, member=True), True),
        (2, False, call(1, member=True), False),
        (2, False, call(2, member=False), True),
        (3, True, call(2, member=False), False),
        (4, False, call(2, member=False), True),
        (4, False, call(3, member=True), False),
    ],
)
def test_what_is_left_to_say(sequence: int, member: bool, last: Call | None, known: bool) -> None:
    assert is_known(change(sequence, member=member), last) is known
