"""`afflux destination test` against every platform: all is well, and nothing has changed there."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from services.activator.clock import SystemClock
from services.activator.destinations import DESTINATIONS
from services.activator.reasons import explained
from services.activator.rehearsal import UNTRIED, Finding, rehearse
from tests.stub.server import OAUTH, PLATFORMS, Stub, running
from tests.unit.activator.builders import definition
from tests.unit.activator.examples import SETTINGS, private_key


async def tried(stub: Stub, name: str, **settings: Any) -> list[Finding]:
    base = f"{stub.url}/{name}" + ("/hook" if name == "webhook" else "")
    given = {**SETTINGS[name], "base_url": base, "allow_private": True}
    if name in OAUTH:
        given["token_url"] = f"{base}/token"
    if name == "salesforce":
        given["private_key_pem"] = private_key()
    if name == "customerio":
        given["app_base_url"] = base
    follows = [{"segment": "vip", "name": "VIP"}] if DESTINATIONS[name].members else []
    made = definition(type=name, settings=given | settings, audiences=follows)
    return await rehearse(made, SecretStr, SystemClock(), offline=False)


@pytest.mark.parametrize("is_there", [False, True])
@pytest.mark.parametrize("name", PLATFORMS)
async def test_a_destination_that_could_work_is_found_well(name: str, is_there: bool) -> None:
    async with running() as stub:
        world = stub.world(name)
        if is_there:
            world.audience("cdp_vip" if name == "zendesk" else "VIP")
        findings = await tried(stub, name)
        assert [finding.sentence for finding in findings if not finding.is_well] == []
        assert not any(world.members.values())
        assert (world.people, world.events) == ({}, {})
        assert world.leaks == []


CHECKED = [n for n, each in DESTINATIONS.items() if each.contract.test_mode == "validateOnly"]


@pytest.mark.parametrize("name", CHECKED)
async def test_an_example_is_checked_where_the_platform_can(name: str) -> None:
    async with running() as stub:
        stub.world(name).audience("VIP")
        findings = await tried(stub, name)
        assert findings[-1].sentence == "the platform has checked an example and found it right"
        (checked,) = [c for c in stub.world(name).calls if b"validateOnly" in c.content]
        assert checked.body["validateOnly"] is True


@pytest.mark.parametrize("name", sorted(OAUTH))
async def test_refused_credentials_are_named(name: str) -> None:
    async with running() as stub:
        findings = await tried(stub, name, token_url=f"{stub.url}/{name}/nothing-here")
        (wrong,) = [one for one in findings if not one.is_well]
        assert wrong.sentence.startswith("no token: ")


async def test_what_is_wrong_is_said_with_what_mends_it() -> None:
    async with running() as stub:
        stub.faults["mailchimp"] = ["body:auth"]
        findings = await tried(stub, "mailchimp")
        (wrong,) = [one for one in findings if not one.is_well]
        refused = "`VIP` cannot be looked up: the platform refuses the credentials (auth). "
        assert wrong.sentence == refused + " ".join(explained(DESTINATIONS["mailchimp"], "auth"))


@pytest.mark.parametrize(("name", "is_said"), [("braze", True), ("meta_custom_audiences", False)])
async def test_what_could_not_be_tried_is_said(name: str, is_said: bool) -> None:
    async with running() as stub:
        findings = await tried(stub, name)
        assert bool(stub.world(name).calls) is not is_said
        assert (UNTRIED in [finding.sentence for finding in findings]) is is_said


async def test_requests_that_go_to_a_file_call_nobody(tmp_path: Path) -> None:
    async with running() as stub:
        file = tmp_path / "requests.jsonl"
        findings = await tried(stub, "google_data_manager", dry_run=str(file))
        assert all(one.is_well for one in findings)
        assert f"nobody is called: requests are written to {file}" in [f.sentence for f in findings]
        assert stub.world("google_data_manager").calls == []
        assert not file.exists()
        assert findings[-1].shown["body"]["encoding"] == "HEX"
