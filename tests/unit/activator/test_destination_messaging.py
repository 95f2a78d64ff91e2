"""CRM and messaging: what each request holds in the cases that the usual person does not show."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs

import pytest

from schemas.problems import Invalid
from services.activator.destinations import (
    DESTINATIONS,
    hubspot,
    intercom,
    iterable,
    klaviyo,
    zendesk,
)
from services.activator.domain.answer import Answer
from services.activator.domain.change import Change
from services.activator.domain.classify import readings
from services.activator.domain.naming import Place
from services.activator.domain.outcomes import Outcome, Response
from services.activator.domain.platform import Audience, Hint
from services.activator.domain.requests import Request
from services.activator.domain.row_reading import Asked
from tests.unit.activator.builders import change
from tests.unit.activator.building import AT, TOKEN, made, read, requests
from tests.unit.activator.examples import CONVERSION, an_instance

JSON = {"content-type": "application/json"}


def profile(traits: Mapping[str, Any], *identifiers: tuple[str, str], **consent: str) -> Change:
    """An update with these traits, by the names of the platform."""
    listed = [{"type": kind, "value": value} for kind, value in identifiers]
    person = {"identifiers": listed, "traits": dict(traits), "consent": consent}
    return change(audience_id=None, profile=person)


def event(**fields: Any) -> Change:
    conversion = type(CONVERSION)(**{"event_id": "evt_1", "name": "Order"} | fields)
    return replace(change(audience_id=None), operation="send_event", conversion=conversion)


def body(name: str, one: Change, **settings: Any) -> Any:
    (request,) = requests(an_instance(name, settings), [one], ids={"p_42": "vendor-1"})
    return json.loads(request.content)


@pytest.mark.parametrize(
    ("headers", "wish"),
    [
        ({"remaining": "9", "max": "100"}, Hint(slower=True)),
        ({"remaining": "50", "max": "100"}, None),
        (
            {"remaining": "50", "max": "100", "daily-remaining": "10", "daily": "250000"},
            Hint(slower=True),
        ),
        ({"daily-remaining": "?", "daily": "250000"}, None),
    ],
)
def test_s5_1_close_to_the_end_of_an_allowance_calls_are_fewer(
    headers: Mapping[str, str], wish: Hint | None
) -> None:
    named = {f"x-hubspot-ratelimit-{name}": value for name, value in headers.items()}
    assert hubspot.hint(Answer(Response(200, named)), AT) == wish


def test_s5_2_no_trait_and_no_property_changes_which_record_is_meant() -> None:
    update = profile({"Id": "003", "attributes": {}, "cdp_id__C": "other", "LastName": "Doe"})
    (record,) = body("salesforce", update)["records"]
    assert record == {
        "attributes": {"type": "Contact"},
        "CDP_Id__c": "p_42",
        "LastName": "Doe",
    }
    (written,) = body("salesforce", event(properties={"event_id__c": "x", "Total__c": 5}))[
        "records"
    ]
    assert written["Event_Id__c"] == "evt_1"
    assert written.keys() == {"attributes", "Event_Id__c", "Total__c"}


def test_s5_2_a_sandbox_gets_its_token_from_the_host_that_is_named() -> None:
    of = an_instance("salesforce", {"audience": "https://test.salesforce.com"})
    grant = of.destination.grant
    assert grant is not None
    request = grant(of.settings, AT)
    assert isinstance(request, Request)
    assert request.url == "https://test.salesforce.com/services/oauth2/token"
    assert parse_qs(request.content.decode())["assertion"]


@pytest.mark.parametrize(
    ("name", "place"), [("salesforce", ("records", 0)), ("intercom", ("custom_attributes",))]
)
def test_s5_who_knows_no_lists_gets_them_as_text(name: str, place: tuple[Any, ...]) -> None:
    found = body(name, profile({"tags": ["a", {"b": 1}], "home": {"city": "x"}, "plain": 1.5}))
    for step in place:
        found = found[step]
    told = {name: found[name] for name in ("tags", "home", "plain")}
    assert told == {"tags": '["a",{"b":1}]', "home": '{"city":"x"}', "plain": 1.5}


def test_s5_5_an_attribute_beyond_the_limits_is_left_out_and_the_rest_is_sent() -> None:
    at_most = {"é" * 150: 1, "text": "é" * 500, "list": ["x" * 996]}
    beyond = {"n" * 151: 1, "long": "é" * 501, "longer": ["x" * 997]}
    (sent,) = body("customerio", profile(beyond | at_most))["batch"]
    assert sent["attributes"] == at_most | {"_timestamp": 1768469400}
    (sent,) = body("customerio", event(properties=beyond | at_most))["batch"]
    assert sent["attributes"] == at_most
    many = {f"trait-{number}": number for number in range(400)}
    (sent,) = body("customerio", profile(many))["batch"]
    assert len(sent["attributes"]) == 300
    assert "_timestamp" in sent["attributes"]


@pytest.mark.parametrize("stated", [5, " ", None, ["Jane"]])
def test_s5_8_a_name_is_a_text(stated: Any) -> None:
    update = profile({"name": stated, "first_name": "Jane", "last_name": "Doe"})
    (user,) = body("zendesk", update)["users"]
    assert user["name"] == "Jane Doe"


def test_s5_3_a_user_is_reached_and_stays_the_same_user() -> None:
    update = profile(
        {"external_id": "other", "old": None}, ("email", "A@X.com"), ("phone", "(415) 555-2671")
    )
    (user,) = body("braze", update, default_country_code="1")["attributes"]
    assert user == {
        "external_id": "p_42",
        "old": None,
        "email": "a@x.com",
        "phone": "+14155552671",
    }


def test_s5_4_a_pointer_names_the_item_and_not_what_is_within_it() -> None:
    pointer = "/data/attributes/events-bulk-create/data/3/attributes/events/data/0/attributes/time"
    error = {"code": "invalid", "source": {"pointer": pointer}}
    answer = Response(400, JSON, json.dumps({"errors": [error]}).encode())
    found = read("klaviyo", answer, action="send_event", count=5)
    assert [index for index, one in enumerate(found) if one is Outcome.PERMANENT] == [3]


def test_s5_4_null_clears_and_only_identifiers_identify() -> None:
    update = profile(
        {"phone_number": "555", "first_name": None, "city": "SF", "ltv": 1, "old": None},
        ("phone", "020 7946 0018"),
    )
    data = body("klaviyo", update)["data"]
    assert data["attributes"] == {
        "external_id": "p_42",
        "first_name": None,
        "location": {"city": "SF"},
        "properties": {"ltv": 1},
    }
    assert data["meta"] == {"patch_properties": {"unset": ["old"]}}


def test_s5_4_only_imports_of_profiles_are_asked_about() -> None:
    for kind, job in (("profile-bulk-import-job", "j1"), ("event-bulk-create-job", None)):
        answer = Response(202, JSON, json.dumps({"data": {"type": kind, "id": "j1"}}).encode())
        assert klaviyo.job(Answer(answer)) == job


def test_s5_6_failures_that_nobody_is_named_for_are_counted() -> None:
    contract = DESTINATIONS["iterable"].contract
    endpoint = contract.endpoint("add_member", "")
    assert endpoint is not None
    places = [Place(index, names=(f"user-{index}",)) for index in range(4)]
    asked = Asked(contract=contract, endpoint=endpoint, places=places, now=AT)
    body = {"successCount": 1, "failCount": 3, "failedUpdates": {"conflictUserIds": ["user-1"]}}
    response = Response(200, JSON, json.dumps(body).encode())
    found = readings(response, asked)
    assert [one.outcome for one in found].count(Outcome.PERMANENT) == 1
    assert iterable.unattributed(Answer(response), found) == 2
    assert iterable.unattributed(Answer(Response(200, JSON, b'{"failCount":0}')), found) == 0


def test_s5_6_a_list_that_is_no_number_is_left_to_iterable_to_refuse() -> None:
    of = an_instance("iterable")
    (batch,) = made(of, [change()])
    for vendor_id, sent in (("12345", 12345), ("vip", "vip")):
        assert batch.audience is not None
        other = replace(batch, audience=replace(batch.audience, vendor_id=vendor_id))
        request = next(of.destination.calls(other, of.setup(TOKEN, {}, AT)))
        assert json.loads(request.content)["listId"] == sent


@pytest.mark.parametrize("name", ["intercom", "zendesk"])
@pytest.mark.parametrize(
    ("traits", "identifiers", "phone"),
    [
        ({}, [("phone", "(415) 555-2671")], "+14155552671"),
        ({"phone": "0044 20 7946 0018"}, [], "+442079460018"),
        ({"phone": "12"}, [], None),
        ({"phone": None}, [], None),
    ],
)
def test_s5_7_and_s5_8_a_phone_is_written_out_or_left_out(
    name: str, traits: dict[str, Any], identifiers: list[tuple[str, str]], phone: str | None
) -> None:
    update = profile(traits | {"name": "Jane"}, *identifiers)
    sent = body(name, update, default_country_code="1")
    user = sent["users"][0] if name == "zendesk" else sent
    assert user.get("phone") == phone
    assert "phone" not in user.get("user_fields", {}) | user.get("custom_attributes", {})


def test_s5_7_a_used_up_window_is_waited_out() -> None:
    until = int(AT.timestamp()) + 7
    headers = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(until)}
    found = intercom.hint(Answer(Response(429, headers)), AT)
    assert found == Hint(pause=timedelta(seconds=7))
    assert (
        intercom.hint(Answer(Response(200, headers | {"x-ratelimit-remaining": "5"})), AT) is None
    )


def test_s5_8_a_used_up_minute_is_waited_out() -> None:
    headers = {"ratelimit-remaining": "0", "ratelimit-reset": "41"}
    assert zendesk.hint(Answer(Response(200, headers)), AT) == Hint(pause=timedelta(seconds=41))
    assert zendesk.hint(Answer(Response(200, headers | {"ratelimit-remaining": "9"})), AT) is None


@pytest.mark.parametrize(
    ("said", "held", "written"),
    [
        ("granted", None, "subscribed"),
        ("granted", "transactional", "subscribed"),
        ("granted", "unsubscribed", "unsubscribed"),
        ("granted", "cleaned", "unsubscribed"),
        ("unknown", "subscribed", "subscribed"),
        ("unknown", "pending", "pending"),
        ("unknown", None, "transactional"),
    ],
)
def test_s5_9_nobody_is_subscribed_against_what_they_chose(
    said: str, held: str | None, written: str
) -> None:
    asked, sent = _bulk(said, Response(200 if held else 404, JSON, _status(held)))
    assert asked.method == "GET"
    assert isinstance(sent, Request)
    assert json.loads(sent.content)["members"][0]["status"] == written


def test_s5_9_without_an_answer_nothing_is_overwritten() -> None:
    for answer in (Response(503, {}), Response(200, JSON, b"{}")):
        _, ended = _bulk("granted", answer)
        assert isinstance(ended, Response)
        assert set(read("mailchimp", ended, action="upsert_profile")) == {Outcome.RETRY}


def _status(held: str | None) -> bytes:
    return json.dumps({"status": held} if held else {"status": 404}).encode()


def _bulk(said: str, answer: Response) -> tuple[Request, Request | Response]:
    of = an_instance("mailchimp", {"map_marketing_email": True})
    update = profile({"FNAME": "Jane"}, ("email", "a@x.com"), marketing_email=said)
    (batch,) = made(of, [update])
    calls = of.destination.calls(batch, of.setup(TOKEN, {}, AT))
    first = next(calls)
    try:
        return first, calls.send(answer)
    except StopIteration as ended:
        response: Response = ended.value
        return first, response


def test_s5_10_ok_is_a_success_whatever_slack_calls_its_type() -> None:
    html = {"content-type": "text/html"}
    for status, text, outcome in (
        (200, b"ok", Outcome.DELIVERED),
        (200, b"no", Outcome.PERMANENT),
        (404, b"no_service", Outcome.CONFIG),
        (502, b"<html>", Outcome.RETRY),
    ):
        answer = Response(status, html, text)
        assert read("slack_webhook", answer, action="send_event", count=1) == [outcome]


def test_s5_10_many_changes_are_one_message() -> None:
    people = [
        change(f"p_{n}", member=n % 2 == 0, profile={"traits": {"name": f"Jane <{n}>"}})
        for n in range(3)
    ]
    (request,) = requests(an_instance("slack_webhook"), people)
    assert json.loads(request.content)["text"].split("\n") == [
        "Jane &lt;0&gt; entered *VIP*",
        "Jane &lt;1&gt; left *VIP*",
        "Jane &lt;2&gt; entered *VIP*",
    ]
    with pytest.raises(Invalid):
        an_instance("slack_webhook", {"notice": "{name}"})


def test_s6_3_a_file_ends_at_64_mb() -> None:
    for endpoint in DESTINATIONS["file"].contract.endpoints:
        assert (endpoint.max_bytes, endpoint.max_items) == (67_108_864, 100_000)


def test_s10_linger_is_told_in_seconds() -> None:
    assert an_instance("braze", {"linger": 0.2}).linger == timedelta(milliseconds=200)


@pytest.mark.parametrize(
    ("name", "answer", "found"),
    [
        ("hubspot", {"list": {"listId": "7", "processingType": "DYNAMIC"}}, None),
        ("hubspot", {"list": {"listId": "7", "processingType": "MANUAL"}}, "7"),
        (
            "customerio",
            {"segments": [{"id": 1, "name": "VIP", "type": "dynamic"}, {"id": 2, "name": "VIP"}]},
            "2",
        ),
        (
            "iterable",
            {"lists": [{"id": 1, "name": "VIP", "listType": "Dynamic"}, {"id": 2, "name": "VIP"}]},
            "2",
        ),
    ],
)
def test_s5_a_list_with_a_rule_of_its_own_takes_no_members(
    name: str, answer: Any, found: str | None
) -> None:
    calls = an_instance(name).destination.audiences
    assert calls is not None
    assert calls.found is not None
    response = Response(200, JSON, json.dumps(answer).encode())
    assert calls.found(Answer(response), Audience(id="vip", name="VIP")) == found
