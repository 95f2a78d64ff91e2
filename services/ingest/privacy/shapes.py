"""The answers of the management listener, in the shapes of Segment's Public API."""

import base64
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from aiohttp import web

from services.ingest.privacy.asked import JSON, SEGMENT_JSON, Wrong
from services.ingest.privacy.page import Page
from services.ingest.privacy.regulations import Regulation
from services.ingest.privacy.suppressed import Subject

WORKSPACE = "default"
"""There is one workspace."""

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


def pagination(page: Page) -> dict[str, Any]:
    return {
        "current": _token(page.current),
        "next": None if page.next is None else _token(page.next),
        "previous": None if page.previous is None else _token(page.previous),
        "totalEntries": page.total,
    }


def _token(place: int) -> str:
    return base64.urlsafe_b64encode(str(place).encode()).decode()


def listed(regulation: Regulation) -> dict[str, Any]:
    return {
        "id": regulation.id,
        "subjectType": regulation.subject_type,
        "subjects": list(regulation.subjects),
        "status": regulation.status,
        "createdAt": _instant(regulation.created_at),
        "regulationType": regulation.regulation_type,
        "finishedAt": _instant(regulation.finished_at),
    }


def shown(regulation: Regulation, removals: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
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


def suppressions(subjects: Sequence[Subject]) -> list[dict[str, Any]]:
    """By type; a group that holds for one source alone names it."""
    groups: dict[tuple[str, str], list[str]] = {}
    for source, subject_type, subject in subjects:
        groups.setdefault((source, subject_type), []).append(subject)
    return [
        {"subjectType": kind, "subjectIds": ids} | ({"sourceId": source} if source else {})
        for (source, kind), ids in groups.items()
    ]


def _instant(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def data(request: web.Request, data: Mapping[str, Any]) -> web.Response:
    return _response(request, 200, {"data": data})


def error(request: web.Request, wrong: Wrong) -> web.Response:
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
