"""The stub's own door: faults are put, requests and state are read, the clock goes on."""

import aiohttp
import pytest

from tests.stub.server import running
from tests.unit.activator.building import requests
from tests.unit.activator.examples import an_instance, changes


async def test_s8_the_door_scripts_shows_and_resets() -> None:
    async with running() as stub, aiohttp.ClientSession() as session:
        door = f"{stub.url}/__stub__"
        fault = {"destination": "slack_webhook", "op": "send_event", "fault": "status:503"}
        other = {
            "destination": "slack_webhook",
            "op": "upsert_profile",
            "fault": "html",
            "times": 2,
        }
        async with session.put(f"{door}/faults", json=[other, fault]) as answered:
            script = ["upsert_profile html", "upsert_profile html", "send_event status:503"]
            assert await answered.json() == {"slack_webhook": script}
        settings = {"base_url": f"{stub.url}/slack_webhook", "allow_private": True}
        (request,) = requests(an_instance("slack_webhook", settings), [changes()["send_event"]])
        statuses = []
        for _ in range(2):
            async with session.post(
                request.url, data=request.content, headers=request.headers
            ) as answered:
                statuses.append(answered.status)
        assert statuses == [503, 200]
        about = {"destination": "slack_webhook"}
        async with session.get(f"{door}/requests", params=about) as answered:
            assert len(await answered.json()) == 2
        async with session.post(f"{door}/clock", json={"advance_s": 3600}) as answered:
            assert (await answered.json())["advanced_s"] == 3600
        assert stub.world("slack_webhook").token != "token-1"
        async with session.post(f"{door}/reset") as answered:
            assert answered.status == 200
        async with session.get(f"{door}/state", params=about) as answered:
            assert (await answered.json())["events"] == {}
        async with session.get(f"{door}/state", params={"destination": "slak"}) as answered:
            assert answered.status == 404


@pytest.mark.parametrize(("share", "refused"), [(None, 0), (1.0, 4)])
async def test_s8_4_calls_beyond_the_documented_rate_are_told_to_wait(
    share: float | None, refused: int
) -> None:
    async with running() as stub, aiohttp.ClientSession() as session:
        stub.share = share
        stub.pace.now = lambda: 0.0
        for _ in range(5):
            async with session.post(f"{stub.url}/slack_webhook/services/T/B/X", json={}) as told:
                assert told.status != 429 or int(told.headers["retry-after"]) == 1
        assert stub.world("slack_webhook").throttled == refused
