"""Google Sheets: a row for each change, with its id in the last column."""

from collections.abc import Generator, Mapping, Sequence

from services.activator.destinations.google_data_manager import RPC_ERRORS
from services.activator.domain.answer import Answer
from services.activator.domain.authorisation import OAuthSettings, bearer_token, refresh_grant
from services.activator.domain.change import Change
from services.activator.domain.contract import Contract, Endpoint, Rate
from services.activator.domain.outcomes import Response
from services.activator.domain.platform import (
    Audience,
    Batch,
    Destination,
    Draft,
    Setup,
    rfc3339,
)
from services.activator.domain.requests import Request

CONTRACT = Contract(
    name="google_sheets",
    category="generic",
    by_profile=True,
    base_url="https://sheets.googleapis.com",
    token_url="https://oauth2.googleapis.com/token",
    api_version="v4",
    endpoints=(
        Endpoint(
            action="add_member",
            method="POST",
            path="/v4/spreadsheets/{spreadsheet_id}/values/{range}:append",
            batch_key=("sheet",),
            max_items=500,
            atomic=True,
            promises="updates",
            dedup="change_id_column",
        ),
        Endpoint(
            action="remove_member",
            method="POST",
            path="/v4/spreadsheets/{spreadsheet_id}/values/{range}:append",
            batch_key=("sheet",),
            max_items=500,
            atomic=True,
            promises="updates",
            dedup="change_id_column",
        ),
        Endpoint(
            action="send_event",
            method="POST",
            path="/v4/spreadsheets/{spreadsheet_id}/values/{range}:append",
            batch_key=("sheet",),
            max_items=500,
            atomic=True,
            promises="updates",
            dedup="change_id_column",
        ),
    ),
    rates=(
        Rate("project", requests=300, per_s=60),
        Rate("member", requests=60, per_s=60),
    ),
    errors=RPC_ERRORS,
    body_code_first=True,
    optional=True,
)


class Settings(OAuthSettings):
    """The sheet that rows are appended to."""

    spreadsheet_id: str
    """From the address of the spreadsheet."""
    sheet: str = "Sheet1"
    """The tab; it must be there."""


VERBS: Mapping[str, str] = {"add_member": "added", "remove_member": "removed"}


def drafts(
    change: Change, endpoint: Endpoint, audience: Audience | None, _setup: Setup[Settings]
) -> Sequence[Draft]:
    what = audience.name if audience else change.conversion.name if change.conversion else ""
    row = [
        change.profile_id,
        what,
        VERBS.get(endpoint.action, "did"),
        rfc3339(change.occurred_at),
        change.idempotency_key,
    ]
    return (Draft(payload=row, names=(change.idempotency_key,)),)


def call(batch: Batch, setup: Setup[Settings]) -> Generator[Request, Response, Response]:
    """Appending twice makes two rows: after an unread answer look first what is there."""
    rows = batch.payloads
    if batch.again:
        listed = yield setup.request(_values(setup, "E:E"), method="GET")
        if listed.status != 200:
            return listed
        there = {row[0] for row in Answer(listed).all("values[]") if row}
        rows = [row for row in rows if row[-1] not in there]
        if not rows:
            return Response(200, listed.headers, b'{"updates":{}}')
    query = {"valueInputOption": "RAW", "insertDataOption": "INSERT_ROWS"}
    url = _values(setup, "A1", ":append", query)
    return (yield setup.request(url, {"values": rows}))


def _values(
    setup: Setup[Settings], cells: str, verb: str = "", query: Mapping[str, object] | None = None
) -> str:
    settings = setup.settings
    path = "/v4/spreadsheets/{id}/values/{range}" + verb
    return setup.url(path, query, id=settings.spreadsheet_id, range=f"{settings.sheet}!{cells}")


DESTINATION = Destination(
    contract=CONTRACT,
    settings=Settings,
    drafts=drafts,
    call=call,
    headers=bearer_token,
    grant=refresh_grant(CONTRACT),
)
