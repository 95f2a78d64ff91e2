"""What becomes of a whole request and what its sender is told (contract §6, §8, §11)."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from schemas.codec import decode_as
from schemas.records import Event
from services.ingest.domain.accept import WRITTEN_LIMIT
from services.ingest.domain.client import Client
from services.ingest.domain.codes import REFUSALS
from services.ingest.domain.judge import Verdict, judge
from services.ingest.domain.limits import Limits, Profile
from services.ingest.domain.subject import SubjectKind
from tests.unit.ingest.builders import as_json, call, rules, source, track

SMALL: dict[Profile, Limits] = {
    "segment": Limits(request_bytes=400, events=3),
    "rudderstack": Limits(),
}
MANY: dict[Profile, Limits] = {
    "segment": Limits(request_bytes=4_000_000, events=3),
    "rudderstack": Limits(),
}


def batch(*items: Any, **top: Any) -> bytes:
    return as_json({"batch": list(items), "writeKey": "WK"} | top)


def answered(verdict: Verdict) -> tuple[int, dict[str, Any]]:
    return verdict.answer.status, json.loads(verdict.answer.body)


def test_11_plain_success_when_all_is_well() -> None:
    verdict = judge(batch(track(), track(messageId="m2")), call(), rules(), None)
    assert answered(verdict) == (200, {"success": True})
    assert len(verdict.accepted) == 2


def test_11_a_partly_bad_batch_is_a_success_that_tells_the_truth() -> None:
    bad = track(event="", messageId="m2")
    verdict = judge(batch(track(), bad, track(messageId="m3")), call(), rules(), None)
    assert answered(verdict) == (
        200,
        {
            "success": True,
            "received": 3,
            "accepted": 2,
            "rejected": 1,
            "errors": [
                {
                    "index": 1,
                    "messageId": "m2",
                    "code": "event_not_defined",
                    "message": "track needs a non-empty event name",
                }
            ],
        },
    )
    assert [(one.code, one.index, one.raw) for one in verdict.put_aside] == [
        ("event_not_defined", 1, as_json(bad))
    ]
    ids = [decode_as(Event, one.record).message_id for one in verdict.accepted]
    assert ids == ["m1", "m3"]


@pytest.mark.parametrize(
    ("strict", "items", "status"),
    [(True, [None], 400), (True, [None, track()], 200), (False, [None], 200)],
)
def test_11_strict_mode_fails_a_batch_without_an_accepted_event(
    strict: bool, items: list[Any], status: int
) -> None:
    answer = answered(judge(batch(*items), call(is_strict=strict), rules(), None))
    assert answer[0] == status
    assert answer[1]["success"] is (status == 200)
    if status == 400:
        assert answer[1]["code"] == "all_rejected"
        assert answer[1]["received"] == answer[1]["rejected"] == 1


def test_11_at_most_100_errors_are_listed_but_all_are_counted() -> None:
    status, body = answered(judge(batch(*[None] * 150), call(), rules(), None))
    assert (status, body["rejected"], len(body["errors"])) == (200, 150, 100)


def test_11_a_bad_single_event_is_400_with_its_code() -> None:
    verdict = judge(b'{"event":"x"}', call("track"), rules(), source())
    status, body = answered(verdict)
    assert (status, body["success"], body["code"]) == (400, False, "no_user_anon_id")
    assert [error["code"] for error in body["errors"]] == ["no_user_anon_id"]
    assert verdict.put_aside[0].raw == b'{"event":"x"}'


def test_6_events_beyond_the_limit_are_put_aside() -> None:
    verdict = judge(batch(*[{"type": 0}] * 5), call(), rules(limits=SMALL), None)
    assert [one.code for one in verdict.put_aside] == ["invalid_type"] * 3 + ["too_many_events"] * 2


def test_6_the_request_limit_is_inclusive() -> None:
    empty = len(batch(track(properties={"x": ""})))
    for size, status in ((400, 200), (401, 400)):
        body = batch(track(properties={"x": "y" * (size - empty)}))
        assert judge(body, call(), rules(limits=SMALL), None).answer.status == status


def test_6_the_events_of_a_too_large_request_are_put_aside_one_by_one() -> None:
    items = [track(messageId=f"m{n}", properties={"x": "y" * 200}) for n in range(3)]
    verdict = judge(batch(*items), call(), rules(limits=SMALL), None)
    assert answered(verdict)[1]["code"] == "payload_too_large"
    assert [(one.code, one.index, one.raw) for one in verdict.put_aside] == [
        ("payload_too_large", n, as_json(item)) for n, item in enumerate(items)
    ]


def test_6_the_profile_of_the_source_decides() -> None:
    rudder = rules(("WK", source(profile="rudderstack")), limits=SMALL)
    body = batch(track(properties={"x": "y" * 2000}))
    assert judge(body, call(), rudder, None).answer.status == 200


WHOLE: list[tuple[bytes, str, int]] = [
    (b"{", "invalid_json", 1),
    (b"", "invalid_json", 1),
    (b"[]", "invalid_json", 1),
    (b'{"batch":{}}', "invalid_batch", 1),
    (b"{}", "invalid_batch", 1),
    (b'{"batch":[]}', "empty_batch", 0),
]


@pytest.mark.parametrize(("body", "code", "letters"), WHOLE)
def test_11_a_refused_request_of_a_known_source_leaves_a_dead_letter(
    body: bytes, code: str, letters: int
) -> None:
    verdict = judge(body, call(), rules(), source())
    status, answer = answered(verdict)
    assert (status, answer["code"], answer["success"]) == (400, code, False)
    assert [(one.code, one.raw) for one in verdict.put_aside] == [(code, body)] * letters


@pytest.mark.parametrize(
    ("body", "code", "status"),
    [
        (b"{", "invalid_json", 400),
        (b'{"batch":[1]}', "missing_write_key", 401),
        (b'{"batch":[1],"writeKey":"***"}', "missing_write_key", 401),
        (b'{"batch":[1],"writeKey":"nobody"}', "invalid_write_key", 401),
    ],
)
def test_11_without_a_valid_key_nothing_is_stored(body: bytes, code: str, status: int) -> None:
    verdict = judge(body, call(), rules(), None)
    assert (verdict.answer.status, answered(verdict)[1]["code"]) == (status, code)
    assert not verdict.put_aside
    assert not verdict.accepted


def test_11_a_dead_letter_holds_no_write_key() -> None:
    verdict = judge(batch({"type": "x", "writeKey": "WK"}), call(), rules(), None)
    assert b"WK" not in verdict.put_aside[0].raw


def test_1_every_refusal_says_code_and_message() -> None:
    for status, message in REFUSALS.values():
        assert status in (400, 401, 403, 404, 405, 414, 415, 429, 500, 503, 511)
        assert message


def test_5_nesting_that_reads_but_does_not_write_is_a_code_too() -> None:
    for depth in range(200, 1400, 3):
        nested = b"[" * depth + b"]" * depth
        body = b'{"batch":[{"type":"track","x":%b}]}' % nested
        verdict = judge(body, call(), rules(), source())
        (letter,) = verdict.put_aside
        assert letter.code in ("nesting_too_deep", "invalid_json")


ITEMS = st.lists(
    st.sampled_from([track(), track(messageId=None), track(userId="gone"), track(event=""), 1])
    | st.builds(track, messageId=st.sampled_from(["m1", "m2", "known"])),
    max_size=8,
)


@given(st.binary(max_size=60) | ITEMS.map(lambda items: batch(*items)))
def test_rule_15_whatever_comes_the_counts_agree(body: bytes) -> None:
    around = rules(suppressed={("web", "USER_ID", "gone")}, durable={("web", "known")})
    verdict = judge(body, call(), around, source())
    answer = json.loads(verdict.answer.body)
    rejected = len(verdict.put_aside)
    if "received" in answer:
        assert answer["received"] == answer["accepted"] + answer["rejected"]
        assert answer["rejected"] == rejected
        dropped = verdict.duplicates + verdict.suppressed
        assert answer["accepted"] == len(verdict.accepted) + dropped
    elif answer["success"]:
        assert rejected == 0


def test_6_a_multitude_of_events_is_put_aside_in_bundles_and_counted_whole() -> None:
    verdict = judge(batch(*[0] * 100_000), call(), rules(limits=MANY), None)
    *singles, first, second = verdict.put_aside
    assert [one.index for one in singles] == list(range(10_003))
    assert [(one.index, one.events) for one in (first, second)] == [
        (10_003, 50_000),
        (60_003, 39_997),
    ]
    assert json.loads(second.raw) == [0] * 39_997
    counts = answered(verdict)[1]
    assert (counts["received"], counts["accepted"], counts["rejected"]) == (100_000, 0, 100_000)


def test_6_a_bundle_fits_a_record_and_holds_nobody_suppressed() -> None:
    gone = {"userId": "gone"}
    items = [*[0] * 10_003, gone, "x" * 300_000, gone, "y" * 300_000]
    suppressed: set[tuple[str, SubjectKind, str]] = {("web", "USER_ID", "gone")}
    verdict = judge(batch(*items), call(), rules(limits=MANY, suppressed=suppressed), None)
    assert answered(verdict)[1]["received"] == 10_007
    assert answered(verdict)[1]["accepted"] == verdict.suppressed == 2
    bundles = verdict.put_aside[10_003:]
    assert [(one.index, one.events) for one in bundles] == [(10_004, 1), (10_006, 1)]
    assert [json.loads(one.raw) for one in bundles] == [["x" * 300_000], ["y" * 300_000]]


def test_6_what_a_request_becomes_is_bounded_whatever_all_its_events_share() -> None:
    """A context of half a megabyte in each of 2 500 events would be more than a gigabyte."""
    shared = {"context": {"x": "x" * 400_000}}
    items = [track(messageId=f"m{number}") for number in range(2_500)]
    verdict = judge(batch(*items, **shared), call(), rules(), None)
    written = sum(len(one.record) for one in verdict.accepted)
    assert written < WRITTEN_LIMIT + 500_000
    assert {one.code for one in verdict.put_aside} == {"payload_too_large"}
    first = verdict.put_aside[0]
    assert (first.index, json.loads(first.raw)) == (len(verdict.accepted), items[first.index or 0])
    assert len(verdict.accepted) + len(verdict.put_aside) == 2_500


def test_6_what_a_request_becomes_is_bounded_whatever_its_headers_say() -> None:
    described = structs.replace(call(), client=Client(None, "x" * 30_000))
    items = [
        track(messageId=f"m{number}", channel="web", context={"a": 1}) for number in range(2_500)
    ]
    verdict = judge(batch(*items), described, rules(), source())
    assert sum(len(one.record) for one in verdict.accepted) < WRITTEN_LIMIT + 50_000
    assert len(verdict.accepted) + len(verdict.put_aside) == 2_500
