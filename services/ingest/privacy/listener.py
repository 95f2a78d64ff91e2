"""The management listener: people are suppressed, erased and listed, by calls with the admin token.

The shapes are those of Segment's Public API, so that its clients and scripts go on working.
"""

import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import get_args

import structlog
from aiohttp import web
from pydantic import SecretStr

from services.ingest.domain.regulation import RegulationType, Status, misplaced
from services.ingest.domain.suppression import without_nul
from services.ingest.privacy.asked import Wrong, chosen, count, cursor, regulation_request
from services.ingest.privacy.progress import Progress
from services.ingest.privacy.regulations import Regulations
from services.ingest.privacy.shapes import data, error, listed, pagination, shown, suppressions
from services.ingest.privacy.suppressed import StillSuppressed, Suppressed
from services.runtime.postgres import AWAY

log = structlog.get_logger()

BODY_BYTES = 12 * 1024 * 1024
"""Room for 5 000 ids of 500 characters."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Management:
    """Answers the calls."""

    regulations: Regulations
    suppressed: Suppressed
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
        body = await regulation_request(request)
        if (problem := misplaced(body, source)) is not None:
            field, message = problem
            raise Wrong(400, message, field)
        try:
            id_ = await self.regulations.create(body, source)
        except StillSuppressed as known:
            raise Wrong(
                400, "suppressed for the whole workspace; end it there", "subjectIds"
            ) from known
        self.wake()
        log.info("regulation taken", regulation=id_, type=body.regulationType)
        return data(request, {"regulateId": id_})

    async def _list(self, request: web.Request) -> web.StreamResponse:
        page = await self.regulations.page(
            source_id=self._source(request),
            statuses=chosen(request, "status", get_args(Status)),
            types=chosen(request, "regulationTypes", get_args(RegulationType)),
            count=count(request),
            cursor=cursor(request),
        )
        found = [listed(regulation) for regulation in page.rows]
        return data(request, {"regulations": found, "pagination": pagination(page)})

    async def _show(self, request: web.Request) -> web.StreamResponse:
        found = await self.regulations.find(without_nul(request.match_info["regulation"]))
        if found is None:
            raise Wrong(404, "there is no such regulation")
        removals = await self.progress.removals(found.id)
        return data(request, {"regulation": shown(found, removals)})

    async def _suppressions(self, request: web.Request) -> web.StreamResponse:
        page = await self.suppressed.page(count=count(request), cursor=cursor(request) or 0)
        found = suppressions(page.rows)
        return data(request, {"suppressed": found, "pagination": pagination(page)})

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
            return error(request, wrong)
        except web.HTTPException as refusal:
            return error(request, Wrong(refusal.status, refusal.reason))
        except AWAY:
            return error(request, Wrong(503, "the database is away; please try again"))
        except Exception as bug:
            log.error("a management call met a bug", error=type(bug).__name__)
            return error(request, Wrong(500, "the request could not be handled"))

    def _authorize(self, request: web.Request) -> None:
        scheme, _, stated = request.headers.get("Authorization", "").partition(" ")
        known = self.token.get_secret_value().encode()
        matches = hmac.compare_digest(stated.strip().encode("utf-8", "surrogateescape"), known)
        if scheme.lower() != "bearer" or not matches:
            raise Wrong(401, "the admin token is missing or not the right one")
