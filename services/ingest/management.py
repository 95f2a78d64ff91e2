"""The management listener: people are suppressed, erased and listed, by calls with the admin token.

The shapes are those of Segment's Public API, so that its clients and scripts go on working.
"""

import base64
import binascii
import hmac
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, get_args

import structlog
from aiohttp import web
from pydantic import SecretStr, ValidationError

from services.ingest.domain.regulation import (
    RegulationRequest,
    RegulationType,
    Status,
    misplaced,
)
from services.ingest.progress import Progress
from services.ingest.regulations import Page, Regulation, Regulations, StillSuppressed
from services.runtime.postgres import AWAY

log = structlog.get_logger()

WORKSPACE = "default"
"""There is one workspace."""
JSON = "application/json"
SEGMENT_JSON = "application/vnd.segment.v1+json"
BODY_BYTES = 12 * 1024 * 1024
"""Room for 5 000 ids of 500 characters."""
COUNT = 20
MOST = 200

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Wrong(Exception):
    """The request cannot be carried out."""

    def __init__(self, status: int, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.field = field


ERROR_TYPES: Mapping[int, str] = {
    400: "bad-request",
    401: "unauthorized",
    404: "not-found",
    405: "method-not-allowed",
    413: "payload-too-large",
    415: "unsupported-media-type",
    500: "internal-error",
    503: "unavailable",
}


@dataclass(frozen=True, slots=True)
class Management:
    """Answers the calls."""

    regulations: Regulations
    progress: Progress
    token: SecretStr
    is_source: Callable[[str], bool]
    wake: Callable[[], None]
    """There is something to be done."""

    def application(self) -> web.Application:
        app = web.Application(client_max_size=BODY_BYTES, middlewares=[self._guarded])
        app.add_routes(
            [
                web.post("/regulations", self._create),
                web.post("/regulations/sources/{source}", self._create),
                web.get("/regulations", self._list),
                web.get("/regulations/sources/{source}", self._list),
                web.get("/regulations/{regulation}", self._show),
                web.get("/suppressions", self._suppressions),
            ]
        )
        return app

    async def _create(self, request: web.Request) -> web.StreamResponse:
        source = self._source(request)
        body = await _body(request)
        if (problem := misplaced(body, source)) is not None:
            field, message = problem
            raise Wrong(400, message, field)
        try:
            id_ = await self.regulations.create(body, source)
        except StillSuppressed as error:
            raise Wrong(
                400, "suppressed for the whole workspace; end it there", "subjectIds"
            ) from error
        self.wake()
        log.info("regulation taken", regulation=id_, type=body.regulationType)
        return _data(request, {"regulateId": id_})

    async def _list(self, request: web.Request) -> web.StreamResponse:
        page = await self.regulations.page(
            source_id=self._source(request),
            statuses=_filter(request, "status", get_args(Status)),
            types=_filter(request, "regulationTypes", get_args(RegulationType)),
            count=_count(request),
            cursor=_cursor(request),
        )
        listed = [_listed(regulation) for regulation in page.rows]
        return _data(request, {"regulations": listed, "pagination": _pagination(page)})

    async def _show(self, request: web.Request) -> web.StreamResponse:
        found = await self.regulations.find(request.match_info["regulation"])
        if found is None:
            raise Wrong(404, "there is no such regulation")
        removals = await self.progress.removals(found.id)
        return _data(request, {"regulation": _shown(found, removals)})

    async def _suppressions(self, request: web.Request) -> web.StreamResponse:
        page = await self.regulations.suppressed_page(
            count=_count(request), cursor=_cursor(request) or 0
        )
        groups: dict[tuple[str, str], list[str]] = {}
        for source, subject_type, subject in page.rows:
            groups.setdefault((source, subject_type), []).append(subject)
        suppressed = [
            {"subjectType": kind, "subjectIds": ids} | ({"sourceId": source} if source else {})
            for (source, kind), ids in groups.items()
        ]
        return _data(request, {"suppressed": suppressed, "pagination": _pagination(page)})

    def _source(self, request: web.Request) -> str | None:
        source: str | None = request.match_info.get("source")
        if source is not None and not self.is_source(source):
            raise Wrong(404, "there is no such source")
        return source

    @web.middleware
    async def _guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Only with the token; whatever goes wrong is said in the one form."""
        try:
            self._authorize(request)
            return await handler(request)
        except Wrong as wrong:
            return _error(request, wrong)
        except web.HTTPException as refusal:
            return _error(request, Wrong(refusal.status, refusal.reason))
        except AWAY:
            return _error(request, Wrong(503, "the database is away; please try again"))
        except Exception as bug:
            log.error("a management call met a bug", error=type(bug).__name__)
            return _error(request, Wrong(500, "the request could not be handled"))

    def _authorize(self, request: web.Request) -> None:
        scheme, _, stated = request.headers.get("Authorization", "").partition(" ")
        known = self.token.get_secret_value().encode()
        matches = hmac.compare_digest(stated.strip().encode("utf-8", "surrogateescape"), known)
        if scheme.lower() != "bearer" or not matches:
            raise Wrong(401, "the admin token is missing or not the right one")


async def _body(request: web.Request) -> RegulationRequest:
    if request.content_type not in (JSON, SEGMENT_JSON):
        raise Wrong(415, f"the body must be {SEGMENT_JSON} or {JSON}")
    try:
        return RegulationRequest.model_validate_json(await request.read())
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        field = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in first["loc"])
        raise Wrong(400, first["msg"], field.lstrip(".") or None) from error


def _filter(request: web.Request, name: str, known: Sequence[str]) -> list[str]:
    """A list in one value or in several, as its clients write it."""
    stated = [*request.query.getall(name, ()), *request.query.getall(f"{name}[]", ())]
    values = [value.strip() for each in stated for value in each.split(",") if value.strip()]
    for value in values:
        if value not in known:
            raise Wrong(400, f"must be one of {', '.join(known)}", name)
    return values


def _count(request: web.Request) -> int:
    stated = request.query.get("pagination[count]", str(COUNT))
    if not stated.isdecimal() or not 1 <= int(stated) <= MOST:
        raise Wrong(400, f"must be a whole number from 1 to {MOST}", "pagination[count]")
    return int(stated)


def _cursor(request: web.Request) -> int | None:
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


def _pagination(page: Page) -> dict[str, Any]:
    return {
        "current": _token(page.current),
        "next": None if page.next is None else _token(page.next),
        "previous": None if page.previous is None else _token(page.previous),
        "totalEntries": page.total,
    }


def _token(place: int) -> str:
    return base64.urlsafe_b64encode(str(place).encode()).decode()


def _listed(regulation: Regulation) -> dict[str, Any]:
    return {
        "id": regulation.id,
        "subjectType": regulation.subject_type,
        "subjects": list(regulation.subjects),
        "status": regulation.status,
        "createdAt": _instant(regulation.created_at),
        "regulationType": regulation.regulation_type,
        "finishedAt": _instant(regulation.finished_at),
    }


def _shown(regulation: Regulation, removals: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    destinations = [
        {
            "name": removal["destination_id"],
            "id": removal["destination_id"],
            "status": removal["status"],
            "errString": removal["reason"] or "",
            "finishedAt": _instant(removal["finished_at"]),
        }
        for removal in removals
    ]
    return {
        "id": regulation.id,
        "workspaceId": WORKSPACE,
        "overallStatus": regulation.status,
        "finishedAt": _instant(regulation.finished_at),
        "createdAt": _instant(regulation.created_at),
        "streamStatus": [
            {"id": regulation.source_id or WORKSPACE, "destinationStatus": destinations}
        ],
    }


def _instant(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _data(request: web.Request, data: Mapping[str, Any]) -> web.Response:
    return _response(request, 200, {"data": data})


def _error(request: web.Request, wrong: Wrong) -> web.Response:
    error = {"type": ERROR_TYPES.get(wrong.status, "bad-request"), "message": wrong.message}
    if wrong.field is not None:
        error["field"] = wrong.field
    response = _response(request, wrong.status, {"errors": [error]})
    if wrong.status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _response(request: web.Request, status: int, body: Mapping[str, Any]) -> web.Response:
    wanted = SEGMENT_JSON if SEGMENT_JSON in request.headers.get("Accept", "") else JSON
    return web.Response(
        status=status,
        text=json.dumps(body),
        content_type=wanted,
        headers={"Cache-Control": "no-store"},
    )
