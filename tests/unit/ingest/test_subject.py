"""Events of suppressed people and copies of durable ones leave no trace (contract §12, §17)."""

import json
from typing import Any

import pytest

from services.ingest.domain.judge import judge
from services.ingest.domain.limits import Limits
from services.ingest.domain.subject import SubjectKind
from tests.unit.ingest.builders import alias, as_json, call, rules, source, track

SUPPRESSED: set[tuple[str, SubjectKind, str]] = {
    ("web", "USER_ID", "gone"),
    ("web", "USER_ID", "7"),
    ("web", "ANONYMOUS_ID", "a-gone"),
}


@pytest.mark.parametrize(
    "event",
    [
        track(userId="gone"),
        track(userId=7),
        track(anonymousId="a-gone"),
        track(userId="gone", event=""),
        track(userId="gone", properties={"text": "x" * 40_000}),
        {"type": "nonsense", "userId": "gone"},
        alias(previousId="gone"),
        alias(previousId="a-gone"),
    ],
)
def test_17_a_suppressed_event_is_answered_as_accepted_and_leaves_no_trace(event: Any) -> None:
    verdict = judge(as_json({"batch": [event]}), call(), rules(suppressed=SUPPRESSED), source())
    assert json.loads(verdict.answer.body) == {"success": True}
    assert (verdict.accepted, verdict.put_aside, verdict.suppressed) == ((), (), 1)


@pytest.mark.parametrize(
    "event", [track(previousId="gone"), track(userId="a-gone"), track(userId=["gone"])]
)
def test_17_other_fields_suppress_nobody(event: Any) -> None:
    verdict = judge(as_json({"batch": [event]}), call(), rules(suppressed=SUPPRESSED), source())
    assert verdict.suppressed == 0


def test_17_what_is_refused_whole_keeps_nothing_of_the_suppressed_either() -> None:
    small = rules(
        suppressed=SUPPRESSED, limits={"segment": Limits(request_bytes=50), "rudderstack": Limits()}
    )
    mixed = as_json({"batch": [track(), track(userId="gone")]})
    verdict = judge(mixed, call(), small, source())
    assert [one.code for one in verdict.put_aside] == ["payload_too_large"]
    assert verdict.suppressed == 1
    strayed = judge(as_json(track(userId="gone")), call(), small, source())
    assert json.loads(strayed.answer.body)["code"] == "invalid_batch"
    assert (strayed.put_aside, strayed.suppressed) == ((), 1)


def test_12_a_copy_counts_as_accepted_and_is_dropped() -> None:
    known = rules(durable={("web", "m1")})
    verdict = judge(as_json({"batch": [track(), track(messageId="m2")]}), call(), known, source())
    assert json.loads(verdict.answer.body) == {"success": True}
    assert [one.message_id for one in verdict.accepted] == ["m2"]
    assert verdict.duplicates == 1


def test_12_within_a_batch_the_first_wins() -> None:
    items = [track(userId="first"), track(userId="second"), track(messageId=None)] * 2
    verdict = judge(as_json({"batch": items}), call(), rules(), source())
    assert [one.key for one in verdict.accepted] == [b"first", b"u1", b"u1"]
    assert verdict.duplicates == 3


def test_12_within_a_batch_the_first_wins_whatever_its_type() -> None:
    items = [alias(), track(), alias(messageId="m2"), alias(messageId="m2", userId="u2")]
    verdict = judge(as_json({"batch": items}), call(), rules(), source())
    assert [one.message_id for one in verdict.accepted] == ["m1", "m2"]
    assert verdict.duplicates == 2


def test_12_a_rejected_event_is_not_remembered() -> None:
    items = [track(event=""), track()]
    verdict = judge(as_json({"batch": items}), call(), rules(), source())
    assert [one.message_id for one in verdict.accepted] == ["m1"]
    assert verdict.duplicates == 0


def test_12_an_invalid_event_with_a_known_id_is_rejected() -> None:
    verdict = judge(
        as_json({"batch": [track(event="")]}), call(), rules(durable={("web", "m1")}), source()
    )
    assert [one.code for one in verdict.put_aside] == ["event_not_defined"]
