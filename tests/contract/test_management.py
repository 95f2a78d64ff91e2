"""§17: the calls of the management listener, their shapes, and who may make them."""

import base64
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import TestServer
from pydantic import SecretStr

from services.ingest.privacy.asked import SEGMENT_JSON
from services.ingest.privacy.listener import Management
from services.ingest.privacy.migrations import STEPS
from services.ingest.privacy.progress import Progress
from services.ingest.privacy.regulations import Regulations
from services.ingest.privacy.suppressed import Suppressed
from services.runtime.postgres import connect, migrate
from tests.integration.conftest import PostgresAddress, postgres, postgres_server

__all__ = ["postgres", "postgres_server"]

TOKEN = "an admin token of some length"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


class Client:
    """Makes calls as somebody who knows the token."""

    def __init__(self, session: ClientSession, base: str, woken: list[bool]) -> None:
        self._session = session
        self._base = base
        self.woken = woken

    async def call(
        self, method: str, path: str, body: Any = None, **headers: str
    ) -> tuple[int, Any]:
        stated = BEARER | {"Content-Type": "application/json"} | headers
        async with self._session.request(
            method, f"{self._base}{path}", json=body, headers=stated
        ) as answer:
            return answer.status, await answer.json(content_type=None)

    async def regulate(self, type_: str, *subjects: str, source: str = "", **more: Any) -> Any:
        path = f"/regulations/sources/{source}" if source else "/regulations"
        body = {"regulationType": type_, "subjectType": "USER_ID", "subjectIds": subjects}
        return await self.call("POST", path, body | more)

    async def data(self, path: str) -> Any:
        status, answer = await self.call("GET", path)
        assert status == 200, answer
        return answer["data"]

    async def media_type(self, **headers: str) -> str:
        async with self._session.get(f"{self._base}/suppressions", headers=headers) as answer:
            return answer.content_type


@pytest.fixture
async def client(postgres: PostgresAddress) -> AsyncIterator[Client]:
    pool = await connect(postgres.dsn, size=2)
    await pool.execute("drop schema if exists privacy cascade")
    await migrate(pool, "privacy", STEPS)
    woken: list[bool] = []
    management = Management(
        Regulations(pool),
        Suppressed(pool),
        Progress(pool),
        SecretStr(TOKEN),
        is_source=lambda source: source in ("web", "app"),
        wake=lambda: woken.append(True),
    )
    async with TestServer(management.application()) as server, ClientSession() as session:
        yield Client(session, str(server.make_url("")).rstrip("/"), woken)
    await pool.close()


@pytest.mark.parametrize(
    "stated",
    ["", "Bearer", "Bearer wrong", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x", "Bearer ä"],
)
async def test_17_only_the_admin_token_opens(client: Client, stated: str) -> None:
    status, answer = await client.call("GET", "/regulations", Authorization=stated)
    assert status == 401
    assert answer["errors"][0]["type"] == "unauthorized"
    assert client.woken == []


async def test_17_a_write_key_does_not_open(client: Client) -> None:
    key = base64.b64encode(b"WK_WEB:").decode()
    status, _ = await client.call("GET", "/regulations", Authorization=f"Basic {key}")
    assert status == 401


async def test_17_a_regulation_is_taken_and_shown(client: Client) -> None:
    status, answer = await client.regulate("SUPPRESS_WITH_DELETE", "u1", " u2 ", "u1")
    assert (status, list(answer), list(answer["data"])) == (200, ["data"], ["regulateId"])
    assert client.woken == [True]
    id_ = answer["data"]["regulateId"]
    shown = (await client.data(f"/regulations/{id_}"))["regulation"]
    assert shown == {
        "id": id_,
        "workspaceId": "default",
        "overallStatus": "INITIALIZED",
        "finishedAt": None,
        "createdAt": shown["createdAt"],
        "streamStatus": [{"id": "default", "destinationStatus": []}],
    }
    listed = await client.data("/regulations")
    assert listed["regulations"] == [
        {
            "id": id_,
            "subjectType": "USER_ID",
            "subjects": ["u1", "u2"],
            "status": "INITIALIZED",
            "createdAt": shown["createdAt"],
            "regulationType": "SUPPRESS_WITH_DELETE",
            "finishedAt": None,
        }
    ]
    assert set(listed["pagination"]) == {"current", "next", "previous", "totalEntries"}


async def test_17_regulations_of_a_source_are_its_own(client: Client) -> None:
    await client.regulate("DELETE_ARCHIVE_ONLY", "d1", source="web", subjectType="ANONYMOUS_ID")
    await client.regulate("SUPPRESS_ONLY", "u1")
    of_source = await client.data("/regulations/sources/web")
    assert [r["subjectType"] for r in of_source["regulations"]] == ["ANONYMOUS_ID"]
    assert (await client.data("/regulations/sources/app"))["regulations"] == []
    assert (await client.data("/regulations"))["pagination"]["totalEntries"] == 1
    id_ = of_source["regulations"][0]["id"]
    shown = (await client.data(f"/regulations/{id_}"))["regulation"]
    assert [stream["id"] for stream in shown["streamStatus"]] == ["web"]


@pytest.mark.parametrize("media_type", ["application/json", SEGMENT_JSON])
async def test_17_both_content_types_are_taken(client: Client, media_type: str) -> None:
    status, _ = await client.regulate("SUPPRESS_ONLY", "u1")
    assert status == 200
    body = {"regulationType": "SUPPRESS_ONLY", "subjectType": "USER_ID", "subjectIds": ["u1"]}
    status, _ = await client.call(
        "POST", "/regulations", body, **{"Content-Type": f"{media_type}; charset=utf-8"}
    )
    assert status == 200
    assert await client.media_type(**BEARER, Accept=media_type) == media_type
    assert await client.media_type(Accept=media_type) == media_type


@pytest.mark.parametrize(
    ("change", "source", "field"),
    [
        ({"regulationType": "FORGET"}, "", "regulationType"),
        ({"regulationType": "DELETE_ARCHIVE_ONLY"}, "", "regulationType"),
        ({"subjectType": "OBJECT_ID"}, "", "subjectType"),
        ({"subjectType": "ANONYMOUS_ID"}, "", "subjectType"),
        ({"subjectIds": []}, "web", "subjectIds"),
        ({"subjectIds": ["u1", " "]}, "web", "subjectIds[1]"),
        ({"subjectIds": ["x" * 501]}, "", "subjectIds[0]"),
        ({"subjectIds": ["u"] * 5001}, "", "subjectIds"),
        ({"subjectIds": [7]}, "", "subjectIds[0]"),
    ],
)
async def test_17_a_wrong_field_is_named(
    client: Client, change: dict[str, Any], source: str, field: str
) -> None:
    status, answer = await client.regulate("SUPPRESS_ONLY", "u1", source=source, **change)
    (error,) = answer["errors"]
    assert (status, error["type"], error["field"]) == (400, "bad-request", field)
    assert client.woken == []


async def test_17_a_nul_in_an_id_is_what_events_carry_for_it(client: Client) -> None:
    status, _ = await client.regulate("SUPPRESS_ONLY", "a\0b")
    (group,) = (await client.data("/suppressions"))["suppressed"]
    assert (status, group["subjectIds"]) == (200, ["a\ufffdb"])


async def test_17_five_thousand_ids_are_one_request(client: Client) -> None:
    status, _ = await client.regulate("DELETE_ONLY", *(f"u{n}" for n in range(5000)))
    assert status == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/regulations/nobody", 404),
        ("GET", "/regulations/%00", 404),
        ("GET", "/regulations/sources/unknown", 404),
        ("POST", "/regulations/sources/unknown", 404),
        ("GET", "/", 404),
        ("DELETE", "/regulations", 405),
        ("GET", "/regulations?pagination[count]=0", 400),
        ("GET", "/regulations?pagination[count]=many", 400),
        ("GET", "/regulations?pagination[cursor]=!", 400),
        ("GET", "/regulations?status=DONE", 400),
        ("GET", "/suppressions?pagination[cursor]=eA==", 400),
        ("GET", "/suppressions?pagination[cursor]=LTE=", 400),
    ],
)
async def test_17_what_cannot_be_done_is_an_error_of_the_one_shape(
    client: Client, method: str, path: str, status: int
) -> None:
    found, answer = await client.call(method, path)
    assert (found, set(answer["errors"][0]) >= {"type", "message"}) == (status, True)


async def test_17_a_body_of_another_type_is_refused(client: Client) -> None:
    status, _ = await client.call("POST", "/regulations", {}, **{"Content-Type": "text/plain"})
    assert status == 415


async def test_17_a_list_is_read_page_by_page_in_both_directions(client: Client) -> None:
    for number in range(5):
        await client.regulate("DELETE_ONLY", f"u{number}")
    cursor: str | None = ""
    seen, pages = [], []
    while cursor is not None:
        page = await client.data(f"/regulations?pagination[count]=2&pagination[cursor]={cursor}")
        seen += [regulation["subjects"][0] for regulation in page["regulations"]]
        pages.append(page["pagination"])
        cursor = page["pagination"]["next"]
    assert seen == ["u4", "u3", "u2", "u1", "u0"]
    assert {page["totalEntries"] for page in pages} == {5}
    assert pages[0]["previous"] is None
    assert [page["previous"] for page in pages[1:]] == [page["current"] for page in pages[:-1]]


async def test_17_a_list_is_filtered(client: Client) -> None:
    await client.regulate("DELETE_ONLY", "u1")
    await client.regulate("SUPPRESS_ONLY", "u2")
    await client.regulate("UNSUPPRESS", "u2")
    found = await client.data("/regulations?regulationTypes=DELETE_ONLY,UNSUPPRESS")
    assert [r["regulationType"] for r in found["regulations"]] == ["UNSUPPRESS", "DELETE_ONLY"]
    assert found["pagination"]["totalEntries"] == 2
    assert (await client.data("/regulations?status=FINISHED"))["regulations"] == []
    assert len((await client.data("/regulations?status=INITIALIZED"))["regulations"]) == 3


async def test_17_the_suppressed_are_listed_by_type(client: Client) -> None:
    await client.regulate("SUPPRESS_ONLY", "u2", "u1")
    await client.regulate("SUPPRESS_ONLY", "d1", source="web", subjectType="ANONYMOUS_ID")
    await client.regulate("DELETE_ONLY", "u3")
    found = await client.data("/suppressions")
    assert found["suppressed"] == [
        {"subjectType": "USER_ID", "subjectIds": ["u1", "u2"]},
        {"subjectType": "ANONYMOUS_ID", "subjectIds": ["d1"], "sourceId": "web"},
    ]
    first = await client.data("/suppressions?pagination[count]=2")
    assert first["suppressed"] == found["suppressed"][:1]
    rest = await client.data(f"/suppressions?pagination[cursor]={first['pagination']['next']}")
    assert rest["suppressed"] == found["suppressed"][1:]
    await client.regulate("UNSUPPRESS", "u1", "u2")
    assert (await client.data("/suppressions"))["suppressed"] == found["suppressed"][1:]


async def test_17_the_workspace_beats_an_unsuppress_of_one_source(client: Client) -> None:
    await client.regulate("SUPPRESS_ONLY", "u1")
    await client.regulate("SUPPRESS_ONLY", "u2", source="web")
    status, answer = await client.regulate("UNSUPPRESS", "u2", "u1", source="web")
    assert (status, answer["errors"][0]["field"]) == (400, "subjectIds")
    assert len((await client.data("/suppressions"))["suppressed"]) == 2
    assert (await client.regulate("UNSUPPRESS", "u2", source="web"))[0] == 200
    assert len((await client.data("/suppressions"))["suppressed"]) == 1


async def test_what_the_database_shows_of_other_schemas_is_not_needed(client: Client) -> None:
    """They belong to services that may never have run here."""
    _, answer = await client.regulate("DELETE_ONLY", "u1")
    shown = await client.data(f"/regulations/{answer['data']['regulateId']}")
    assert shown["regulation"]["streamStatus"][0]["destinationStatus"] == []
