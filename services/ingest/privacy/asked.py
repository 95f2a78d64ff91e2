"""What a call to the management listener asks for, read from its body and its query."""

import base64
import binascii
from collections.abc import Sequence

from aiohttp import web
from pydantic import ValidationError

from services.ingest.domain.regulation import RegulationRequest

JSON = "application/json"
SEGMENT_JSON = "application/vnd.segment.v1+json"
COUNT = 20
MOST = 200


class Wrong(Exception):
    """The request cannot be carried out."""

    def __init__(self, status: int, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.field = field


async def regulation_request(request: web.Request) -> RegulationRequest:
    if request.content_type not in (JSON, SEGMENT_JSON):
        raise Wrong(415, f"the body must be {SEGMENT_JSON} or {JSON}")
    try:
        return RegulationRequest.model_validate_json(await request.read())
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        field = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in first["loc"])
        raise Wrong(400, first["msg"], field.lstrip(".") or None) from error


def chosen(request: web.Request, name: str, known: Sequence[str]) -> list[str]:
    """A list in one value or in several, as its clients write it."""
    stated = [*request.query.getall(name, ()), *request.query.getall(f"{name}[]", ())]
    values = [value.strip() for each in stated for value in each.split(",") if value.strip()]
    for value in values:
        if value not in known:
            raise Wrong(400, f"must be one of {', '.join(known)}", name)
    return values


def count(request: web.Request) -> int:
    stated = request.query.get("pagination[count]", str(COUNT))
    if not stated.isdecimal() or not 1 <= int(stated) <= MOST:
        raise Wrong(400, f"must be a whole number from 1 to {MOST}", "pagination[count]")
    return int(stated)


def cursor(request: web.Request) -> int | None:
    stated = request.query.get("pagination[cursor]")
    if not stated:
        return None
    try:
        place = base64.urlsafe_b64decode(stated).decode("ascii")
    except (ValueError, binascii.Error):
        place = ""
    if not place.isdecimal() or len(place) > 18:
        raise Wrong(400, "is no cursor of ours", "pagination[cursor]")
    return int(place)
