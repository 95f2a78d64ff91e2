"""What goes over the wire to BigQuery beside the SQL (warehouse-cdc §1, §6): who asks, how much at
once, and what becomes of a query that nobody waits for. Against a server that answers by hand."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from services.warehouse.bigquery.client import Session
from services.warehouse.domain.source import BigQuerySource
from services.warehouse.patience import SourceAway
from tests.integration.customer_database import until

JOBS = "/bigquery/v2/projects/acme/jobs"
TOKEN = "a-token-that-is-never-said"
SCHEMA = {"fields": [{"name": "n", "type": "INTEGER"}]}


class Api:
    """Of BigQuery, as little as a query needs; rows come one page at a time."""

    def __init__(self) -> None:
        self.state = "DONE"
        self.refusal: tuple[int, str] | None = None
        self.rows = 5
        self.jobs: list[dict[str, Any]] = []
        self.cancelled: list[tuple[str, str]] = []
        self.page_sizes: list[str] = []
        self.bearers: set[str] = set()

    def application(self) -> web.Application:
        application = web.Application()
        application.router.add_post("/token", self.token)
        application.router.add_post(JOBS, self.insert)
        application.router.add_get(JOBS + "/{id}", self.job)
        application.router.add_post(JOBS + "/{id}/cancel", self.cancel)
        application.router.add_get(JOBS.replace("/jobs", "/queries/{id}"), self.results)
        return application

    async def token(self, request: web.Request) -> web.Response:
        return web.json_response(
            {"access_token": TOKEN, "expires_in": 3600, "token_type": "Bearer"}
        )

    async def insert(self, request: web.Request) -> web.Response:
        self.bearers.add(request.headers.get("Authorization", ""))
        if self.refusal is not None:
            status, reason = self.refusal
            errors = [{"reason": reason, "message": "ann@example.com may not"}]
            return web.json_response({"error": {"errors": errors}}, status=status)
        self.jobs.append(await request.json())
        return web.json_response(self._job())

    async def job(self, request: web.Request) -> web.Response:
        return web.json_response(self._job())

    async def cancel(self, request: web.Request) -> web.Response:
        self.cancelled.append((request.match_info["id"], request.query["location"]))
        return web.json_response({"job": self._job()})

    async def results(self, request: web.Request) -> web.Response:
        self.page_sizes.append(request.query["maxResults"])
        start = int(request.query.get("pageToken", 0))
        stop = min(start + int(request.query["maxResults"]), self.rows)
        more = {"pageToken": str(stop)} if stop < self.rows else {}
        return web.json_response(
            {
                "jobComplete": True,
                "jobReference": self.jobs[-1]["jobReference"],
                "schema": SCHEMA,
                "totalRows": str(self.rows),
                "rows": [{"f": [{"v": str(number)}]} for number in range(start, stop)],
            }
            | more
        )

    def _job(self) -> dict[str, Any]:
        return {**self.jobs[-1], "status": {"state": self.state}}


@pytest.fixture
async def api() -> Api:
    return Api()


@pytest.fixture
async def endpoint(api: Api) -> AsyncIterator[str]:
    server = TestServer(api.application())
    await server.start_server()
    yield f"http://{server.host}:{server.port}"
    await server.close()


def session(endpoint: str, **given: Any) -> Session:
    fixed = {"id": "lake", "type": "bigquery", "project": "acme", "location": "EU"}
    more = {"mode": "changes", "api_endpoint": endpoint, "rows_at_once": 2}
    return Session(BigQuerySource.model_validate(fixed | more | given))


async def asked(asking: Session) -> list[int]:
    answers = asking.answers("SELECT 1", "crm.customers")
    found = [len(answer.page["rows"]) async for answer in answers]
    asking.close()
    return found


async def _asked_for_nothing(asking: Session) -> None:
    await asked(asking)


async def test_s6_an_answer_is_read_page_by_page(api: Api, endpoint: str) -> None:
    assert await asked(session(endpoint)) == [2, 2, 1]
    assert api.page_sizes[-3:] == ["2", "2", "2"]


async def test_s6_a_query_says_who_asks_what_it_may_cost_and_where(api: Api, endpoint: str) -> None:
    await asked(session(endpoint, maximum_bytes_billed=1000, query_timeout_s=5))
    (job,) = api.jobs
    configuration = job["configuration"]
    assert configuration["labels"] == {
        "afflux_source": "lake",
        "afflux_relation": "crm_customers",
    }
    assert configuration["query"]["maximumBytesBilled"] == "1000"
    assert configuration["query"]["useQueryCache"] is False
    assert configuration["jobTimeoutMs"] == "5000"
    assert job["jobReference"]["location"] == "EU"


async def test_s6_a_query_that_nobody_waits_for_is_cancelled(api: Api, endpoint: str) -> None:
    api.state = "RUNNING"
    asking = session(endpoint)
    task = asyncio.create_task(_asked_for_nothing(asking))
    await until(lambda: api.jobs, "the query is running", task)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert api.cancelled == [(api.jobs[0]["jobReference"]["jobId"], "EU")]
    asking.close()


async def test_s1_an_account_asks_with_its_token_and_neither_key_nor_token_is_logged(
    api: Api, endpoint: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    key = _key()
    account = {
        "type": "service_account",
        "client_email": "afflux@acme.example",
        "private_key": key,
        "token_uri": f"{endpoint}/token",
    }
    monkeypatch.setenv("BIGQUERY_KEY", json.dumps(account))
    await asked(session(endpoint, credentials="env:BIGQUERY_KEY"))
    assert api.bearers == {f"Bearer {TOKEN}"}
    assert TOKEN not in caplog.text
    assert key.splitlines()[1] not in caplog.text


async def test_s6_denied_access_is_told_without_what_bigquery_says_of_it(
    api: Api, endpoint: str
) -> None:
    api.refusal = (403, "accessDenied")
    with pytest.raises(SourceAway) as found:
        await asked(session(endpoint))
    assert found.value.sqlstate == "42501"
    assert "ann@example.com" not in str(found.value)


def _key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
