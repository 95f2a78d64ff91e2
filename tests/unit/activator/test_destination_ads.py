"""The ads platforms: what each request holds in the cases that the usual person does not show."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from schemas.problems import Invalid
from services.activator.destinations import DESTINATIONS
from services.activator.destinations.meta_custom_audiences import hint
from services.activator.domain.answer import Answer
from services.activator.domain.change import Change, Goods
from services.activator.domain.outcomes import Outcome, Response
from services.activator.domain.platform import Hint, Unsendable
from tests.unit.activator.builders import change
from tests.unit.activator.building import AT, TOKEN, made, read, requests
from tests.unit.activator.examples import CONVERSION, an_instance

JSON = {"content-type": "application/json"}


def who(*identifiers: tuple[str, str], **traits: str) -> dict[str, Any]:
    """Somebody with these identifiers alone."""
    return {
        "identifiers": [{"type": kind, "value": value} for kind, value in identifiers],
        "traits": traits,
        "consent": {"ad_user_data": "granted"},
    }


def bodies(name: str, *changes: Change, **settings: Any) -> list[Any]:
    found = requests(an_instance(name, settings), changes)
    return [json.loads(request.content) for request in found]


def test_s4_1_every_address_number_and_device_has_a_row() -> None:
    several = who(
        ("email", "a@x.com"),
        ("email", "b@x.com"),
        ("phone", "+14155552671"),
        ("idfa", "AAAA"),
        ("aaid", "BBBB"),
        ("aaid", "CCCC"),
    )
    for member in (True, False):
        (body,) = bodies("meta_custom_audiences", change(profile=several, member=member))
        columns = dict(
            zip(body["payload"]["schema"], zip(*body["payload"]["data"], strict=True), strict=True)
        )
        assert columns["MADID"] == ("aaaa", "bbbb", "cccc")
        assert [bool(cell) for cell in columns["EMAIL"]] == [True, True, False]
        assert columns["EXTERN_ID"] == ("p_42", "", "")


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("meta_custom_audiences", {"schema": ["EMAILS"]}),
        ("meta_custom_audiences", {"schema": ["EMAIL", "LOOKALIKE_VALUE"]}),
        ("tiktok_audiences", {"id_schema": ["EMAIL"]}),
        ("linkedin_dmp", {"id_types": ["APPLE_IDFA"]}),
        ("snapchat_audiences", {"id_types": ["EMAIL"]}),
    ],
)
def test_s10_an_identifier_that_the_platform_does_not_know_is_refused(
    name: str, settings: Mapping[str, Any]
) -> None:
    with pytest.raises(Invalid):
        an_instance(name, settings)


@pytest.mark.parametrize(
    ("usage", "wish"),
    [
        ({"x-ad-account-usage": '{"acc_id_util_pct":91.5,"reset_time_duration":300}'}, "slower"),
        ({"x-ad-account-usage": '{"acc_id_util_pct":9,"reset_time_duration":300}'}, None),
        ({"x-app-usage": '{"call_count":100,"total_time":1,"total_cputime":1}'}, "pause"),
        (
            {
                "x-business-use-case-usage": '{"1":[{"type":"custom_audience","call_count":5,'
                '"estimated_time_to_regain_access":3}]}'
            },
            "pause",
        ),
    ],
)
def test_s4_1_the_usage_headers_slow_down_and_pause(
    usage: Mapping[str, str], wish: str | None
) -> None:
    found = hint(Answer(Response(200, usage)), AT)
    assert (found and ("pause" if found.pause else "slower")) == wish
    assert found is None or isinstance(found, Hint)


def test_s4_2_a_device_and_a_lead_are_told_as_they_are() -> None:
    person = who(("lead_id", "L1"), ("idfa", "F81D4FAE"))
    conversion = replace(change(audience_id=None, profile=person), operation="send_event")
    (body,) = bodies("meta_conversions", replace(conversion, conversion=CONVERSION))
    user = body["data"][0]["user_data"]
    assert (user["madid"], user["lead_id"]) == ("f81d4fae", "L1")


@pytest.mark.parametrize(
    ("name", "place", "own"),
    [
        ("meta_conversions", ("data", 0, "custom_data", "contents"), "id"),
        ("google_data_manager", ("events", 0, "cartData", "items"), "merchantProductId"),
    ],
)
def test_s4_goods_without_an_id_are_left_out(name: str, place: tuple[Any, ...], own: str) -> None:
    goods = (Goods(id="SKU1", price=5), Goods(name="a shoe"))
    bought = msgspec.structs.replace(CONVERSION, items=goods)
    person = who(("email", "a@x.com"))
    sent = replace(
        change(audience_id=None, profile=person), operation="send_event", conversion=bought
    )
    (found,) = bodies(name, sent)
    for step in place:
        found = found[step]
    assert [each[own] for each in found] == ["SKU1"]


def test_s4_3_more_than_ten_identifiers_are_members_of_their_own() -> None:
    many = who(*[("email", f"a{number}@x.com") for number in range(12)])
    for member in (True, False):
        (body,) = bodies("google_data_manager", change(profile=many, member=member))
        counts = [len(one["userData"]["userIdentifiers"]) for one in body["audienceMembers"]]
        assert counts == [10, 2]


def test_s4_4_more_than_twenty_identifiers_are_operations_of_their_own() -> None:
    many = who(*[("email", f"a{number}@x.com") for number in range(21)])
    (batch,) = made(an_instance("google_ads_customer_match"), [change(profile=many)])
    assert [len(one["userIdentifiers"]) for one in batch.payloads] == [20, 1]


def test_s4_3_a_removal_reaches_who_was_once_known_by_a_device_alone() -> None:
    both = who(("email", "a@x.com"), ("idfa", "AAAA"))
    (added,) = bodies("google_data_manager", change(profile=both))
    assert set(added["audienceMembers"][0]) == {"userData", "consent"}
    removed = bodies("google_data_manager", change(profile=both, member=False))
    assert [set(one["audienceMembers"][0]) for one in removed] == [{"userData"}, {"mobileData"}]


@pytest.mark.parametrize("name", ["google_data_manager", "google_ads_customer_match"])
def test_s4_3_an_address_has_four_parts_with_a_country_of_two_letters_or_is_left_out(
    name: str,
) -> None:
    parts = {"first_name": "Jane", "last_name": "Doe", "postal_code": " 94103 "}
    for country, is_there in ((" us ", True), ("United States", False), ("", False)):
        person = who(("email", "a@x.com"), **parts, country=country)
        (batch,) = made(an_instance(name), [change(profile=person)])
        text = json.dumps(batch.payloads)
        assert ('"address' in text) is is_there
        assert not is_there or ('"US"' in text and '"94103"' in text)


def test_ruling_3_a_duplicate_is_delivered_and_its_neighbours_are_not_lost() -> None:
    violation = {"field": "events[1].transaction_id", "reason": "DUPLICATE_TRANSACTION_ID"}
    detail = {"@type": "BadRequest", "fieldViolations": [violation]}
    error = {"code": 400, "status": "INVALID_ARGUMENT", "details": [detail]}
    refused = Response(400, JSON, json.dumps({"error": error}).encode())
    several = read("google_data_manager", refused, action="send_event", count=3)
    assert set(several) == {Outcome.SPLIT}
    assert read("google_data_manager", refused, action="send_event", count=1) == [Outcome.DELIVERED]


def test_s4_4_a_job_without_a_name_is_no_job() -> None:
    of = an_instance("google_ads_customer_match")
    setup = of.setup(TOKEN, {}, AT)
    (batch,) = made(of, [change(profile=who(("email", "a@x.com")))])
    calls = of.destination.calls(batch, setup)
    next(calls)
    with pytest.raises(StopIteration) as ended:
        calls.send(Response(200, JSON, b"{}"))
    answer: Response = ended.value.value
    assert set(read("google_ads_customer_match", answer, action="add_member")) == {Outcome.RETRY}


def test_s4_4_a_rehearsal_makes_no_job() -> None:
    of = an_instance("google_ads_customer_match")
    setup = replace(of.setup(TOKEN, {}, AT), rehearsal=True)
    (batch,) = made(of, [change(profile=who(("email", "a@x.com")))])
    assert json.loads(next(of.destination.calls(batch, setup)).content)["validateOnly"] is True


def test_s4_4_one_click_id_to_a_conversion() -> None:
    clicks = {"wbraid": "w", "gbraid": "g", "gclid": "c"}
    event = replace(
        change(audience_id=None),
        operation="send_event",
        conversion=_clicked(clicks),
    )
    (body,) = bodies("google_ads_conversions", event)
    assert {name for name in clicks if name in body["conversions"][0]} == {"gclid"}


@pytest.mark.parametrize(
    ("variant", "adjustment"),
    [
        ("retraction", {"adjustmentType": "RETRACTION"}),
        (
            "restatement",
            {
                "adjustmentType": "RESTATEMENT",
                "restatementValue": {"adjustedValue": 30.0, "currencyCode": "EUR"},
            },
        ),
    ],
)
def test_a_refund_is_the_adjustment_of_its_order(variant: str, adjustment: Any) -> None:
    refund = type(CONVERSION)(
        event_id="e", name="Refund", order_id="O1", value=30.0, currency="EUR"
    )
    event = replace(change(audience_id=None), operation="send_event", conversion=refund)
    settings = {"variant": variant}
    (request,) = requests(an_instance("google_ads_conversions", settings), [event])
    assert request.url.endswith(":uploadConversionAdjustments")
    assert json.loads(request.content)["conversionAdjustments"] == [
        {
            "conversionAction": "customers/123/conversionActions/456",
            "orderId": "O1",
            "adjustmentDateTime": "2026-01-15 09:30:00+00:00",
            **adjustment,
        }
    ]


@pytest.mark.parametrize(
    ("variant", "reason"), [("retraction", "no_order_id"), ("restatement", "no_value")]
)
def test_an_adjustment_needs_what_it_is_about(variant: str, reason: str) -> None:
    refund = type(CONVERSION)(event_id="e", name="Refund")
    event = replace(change(audience_id=None), operation="send_event", conversion=refund)
    with pytest.raises(Unsendable, match=reason):
        requests(an_instance("google_ads_conversions", {"variant": variant}), [event])


def _clicked(clicks: dict[str, str]) -> Any:
    return type(CONVERSION)(event_id="e", name="Purchase", click=clicks)


@pytest.mark.parametrize("member", [True, False])
def test_s4_5_every_identifier_of_a_person_is_named(member: bool) -> None:
    several = who(("email", "a@x.com"), ("email", "b@x.com"), ("phone", "+14155552671"))
    (body,) = bodies("tiktok_audiences", change(profile=several, member=member))
    assert [[bool(cell) for cell in row] for row in body["batch_data"]] == [
        [True, True],
        [True, False],
    ]
    assert body["action"] == ("add" if member else "delete")


@pytest.mark.parametrize("member", [True, False])
def test_s4_9_each_kind_of_identifier_has_a_request(member: bool) -> None:
    several = who(
        ("email", "a@x.com"), ("email", "b@x.com"), ("phone", "+14155552671"), ("idfa", "AAAA")
    )
    found = bodies("snapchat_audiences", change(profile=several, member=member))
    shapes = [(one["users"][0]["schema"], len(one["users"][0]["data"])) for one in found]
    assert shapes == [(["EMAIL_SHA256"], 2), (["PHONE_SHA256"], 1), (["MOBILE_AD_ID_SHA256"], 1)]
    assert [("id" in one["users"][0]) for one in found] == [not member] * 3


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        ({"request_status": "success", "users": [{"sub_request_status": "Success"}]}, "DELIVERED"),
        ({"request_status": "error"}, "SPLIT"),
        ({"request_status": "SUCCESS", "users": [{"sub_request_status": "ERROR"}]}, "SPLIT"),
        ({}, "RETRY"),
    ],
)
def test_s4_9_an_error_under_200_is_one(body: Any, outcome: str) -> None:
    answer = Response(200, JSON, json.dumps(body).encode())
    found = read("snapchat_audiences", answer, action="add_member")
    assert set(found) == {Outcome[outcome]}


PROMISED: Sequence[tuple[str, str]] = (
    ("meta_custom_audiences", "add_member"),
    ("meta_conversions", "send_event"),
    ("google_data_manager", "remove_member"),
    ("google_ads_conversions", "send_event"),
    ("tiktok_audiences", "remove_member"),
    ("tiktok_events", "send_event"),
    ("linkedin_dmp", "add_member"),
    ("linkedin_conversions", "send_event"),
    ("snapchat_audiences", "remove_member"),
)


@pytest.mark.parametrize(("name", "action"), PROMISED)
def test_ruling_1_a_success_without_what_it_promises_is_asked_for_again(
    name: str, action: str
) -> None:
    assert set(read(name, Response(200, JSON, b"{}"), action=action)) == {Outcome.RETRY}


@pytest.mark.parametrize(
    "name", [name for name, each in DESTINATIONS.items() if each.contract.category == "ads"]
)
def test_s2_what_came_hashed_is_passed_through(name: str) -> None:
    digest = "DBF1912B4CAD4DF9823F627874244E64B50A6AC550B9CB33B17DF671A26679DB"
    of = an_instance(name, {"id_types": ["SHA256_EMAIL"]} if name == "linkedin_dmp" else {})
    if of.endpoint("add_member") is None or name == "trade_desk_first_party":
        return
    found = requests(of, [change(profile=who(("email", digest)))])
    text = b"".join(request.content for request in found)
    if name != "google_ads_customer_match":
        assert digest.lower().encode() in text
    assert digest.encode() not in text


def test_s4_5_a_code_that_nobody_knows_is_no_success() -> None:
    for code, outcome in ((0, "DELIVERED"), (20001, "DELIVERED"), (60001, "RETRY")):
        answer = Response(200, JSON, json.dumps({"code": code, "data": {}}).encode())
        assert set(read("tiktok_audiences", answer, action="add_member")) == {Outcome[outcome]}
