"""Every destination × every row of its errors: the answer is read as the row says (§3.1)."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from services.activator.destinations import DESTINATIONS
from services.activator.domain.classify import readings
from services.activator.domain.composites import COMPOSITES
from services.activator.domain.contract import Contract, Endpoint, Row
from services.activator.domain.naming import Place
from services.activator.domain.outcomes import SENT, Outcome, Reading, Response
from services.activator.domain.row_reading import Asked
from tests.stub.answers import BAD, answer_for

NOW = datetime(2026, 1, 15, 9, 30, tzinfo=UTC)


def _concerns_somebody(row: Row, contract: Contract) -> bool:
    """A table that two destinations share may speak of operations that one does not have."""
    actions = {"poll", *(each.action for each in contract.endpoints)}
    return not row.applies_to or bool(actions & set(row.applies_to))


ROWS = [
    pytest.param(destination.contract, row, id=f"{name}-{row.name}-{index}")
    for name, destination in DESTINATIONS.items()
    for index, row in enumerate(destination.contract.errors)
    if _concerns_somebody(row, destination.contract)
]


def endpoint_of(row: Row, contract: Contract) -> Endpoint:
    """The operation with the most items that the row is about."""
    about = [e for e in contract.endpoints if e.action in row.applies_to]
    jobs = [e for e in contract.endpoints if e.results == "async_job"]
    usual = [e for e in contract.endpoints if e.action != "create_audience"]
    candidates = about or (jobs if row.applies_to == ("poll",) else usual)
    return max(candidates, key=lambda each: each.max_items)


def asked_of(row: Row, contract: Contract) -> Asked:
    endpoint = endpoint_of(row, contract)
    places = [
        Place(
            index=index,
            action=endpoint.action,
            array="attributes",
            array_index=index,
            names=(f"person-{index}@example.com",),
            is_remove=endpoint.action == "remove_member",
        )
        for index in range(3)
    ]
    return Asked(
        contract=contract,
        endpoint=endpoint,
        places=places,
        now=NOW,
        audience_age=timedelta(seconds=10),
    )


def read(contract: Contract, row: Row) -> list[Reading]:
    asked = asked_of(row, contract)
    answer = answer_for(row, contract, asked.places)
    return readings(answer, asked, poll=row.applies_to == ("poll",))


@pytest.mark.parametrize(("contract", "row"), ROWS)
def test_s3_1_a_row_is_read_as_it_says(contract: Contract, row: Row) -> None:
    found = read(contract, row)
    bad, others = found[BAD], [one for index, one in enumerate(found) if index != BAD]
    per_item = contract.partial_errors_per_item and not row.http
    if per_item and row.match and "any_error_code" in row.match:
        assert bad.outcome is Outcome[row.outcome]
        assert {one.outcome for one in others} <= set(SENT)
        return
    match row.outcome:
        case "SPLIT_THEN_PERMANENT":
            assert {one.outcome for one in found} == {Outcome.SPLIT}
        case "ITEM_PERMANENT_REST_RESENT":
            assert bad.outcome is Outcome.PERMANENT
            assert {(one.outcome, one.at_once) for one in others} == {(Outcome.RETRY, True)}
        case "ITEM_RETRY" | "ITEM_CONFIG":
            assert bad.outcome is Outcome[row.outcome.removeprefix("ITEM_")]
            assert {one.outcome for one in others} <= set(SENT)
        case "UPSERT_THEN_RETRY_ONCE":
            assert (bad.outcome, bad.at_once, bad.upsert) == (Outcome.RETRY, True, True)
        case "RETRY_WITH_ID":
            assert bad.at_once
            assert bad.vendor_id
        case "RETRY_THEN_CONFIG":
            assert {one.outcome for one in found} == {Outcome.RETRY}
        case name if name in COMPOSITES:
            assert bad.outcome is Outcome.PERMANENT
            assert {one.outcome for one in others} <= set(SENT)
        case "DELIVERED" if not row.http or row.http[0] >= 300:
            assert bad.outcome is Outcome.SPLIT, "of several nobody knows which was there"
        case name:
            assert bad.outcome is Outcome[name]
    if row.outcome == "AUTH":
        assert bad.may_refresh is row.refresh


@pytest.mark.parametrize("name", DESTINATIONS)
def test_s3_the_default_of_each_status_where_the_rows_are_silent(name: str) -> None:
    contract = replace(DESTINATIONS[name].contract, errors=())
    endpoint = max(contract.endpoints, key=lambda each: each.max_items)
    expected = {
        302: Outcome.PERMANENT,
        401: Outcome.AUTH,
        403: Outcome.CONFIG,
        408: Outcome.RETRY,
        413: Outcome.SPLIT,
        422: Outcome.SPLIT,
        429: Outcome.THROTTLED,
        500: Outcome.RETRY,
        503: Outcome.RETRY,
    }
    for status, outcome in expected.items():
        asked = Asked(contract=contract, endpoint=endpoint, places=[Place(0), Place(1)], now=NOW)
        answer = Response(status, {"content-type": "application/json"}, b"{}")
        if not (endpoint.not_found_is and status == 404):
            assert {one.outcome for one in readings(answer, asked)} == {outcome}


@pytest.mark.parametrize("name", DESTINATIONS)
@pytest.mark.parametrize("body", [b"", b"garbage", b"<html>no</html>", b"[]"])
def test_ruling_1_a_success_that_says_nothing_is_none(name: str, body: bytes) -> None:
    contract = DESTINATIONS[name].contract
    for endpoint in contract.endpoints:
        if endpoint.promises is None or endpoint.action == "create_audience":
            continue
        status = next((s for s in endpoint.success if s not in endpoint.bare), 200)
        asked = Asked(contract=contract, endpoint=endpoint, places=[Place(0)], now=NOW)
        if endpoint.promises == "json" and body == b"[]":
            continue
        (reading,) = readings(Response(status, {}, body), asked)
        assert reading.outcome is Outcome.RETRY
        assert body.startswith(b"<html") or reading.at_most == 3


@pytest.mark.parametrize("name", DESTINATIONS)
def test_ruling_2_html_where_json_is_due_is_trouble_of_the_platform(name: str) -> None:
    contract = DESTINATIONS[name].contract
    if contract.category == "generic" and name != "google_sheets":
        return
    endpoint = contract.endpoints[0]
    asked = Asked(contract=contract, endpoint=endpoint, places=[Place(0)], now=NOW)
    html = {"content-type": "text/html; charset=utf-8"}
    for status, outcome in ((200, Outcome.RETRY), (400, Outcome.RETRY), (401, Outcome.AUTH)):
        (reading,) = readings(Response(status, html, b"<!DOCTYPE html>"), asked)
        assert reading.outcome is outcome
