"""The requests of every destination, byte for byte; written anew with AFFLUX_GOLDEN=write.

What is written is to be compared with the platform's documentation before it is committed.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from services.activator.destinations import DESTINATIONS
from services.activator.domain.platform import Audience
from services.activator.domain.requests import Request
from services.activator.instance import Instance
from tests.unit.activator.building import AT, TOKEN, requests
from tests.unit.activator.examples import SETTINGS, VARIANTS, an_instance, changes

FOLDER = Path(__file__).parent / "golden"
IDS = {"p_42": "vendor-1"}


@pytest.mark.parametrize("name", DESTINATIONS)
def test_requests_are_as_the_platform_wants_them(name: str) -> None:
    written = {operation: made for operation, made in _requests(name).items() if made}
    path = FOLDER / f"{name}.json"
    if os.environ.get("AFFLUX_GOLDEN") == "write":
        path.write_text(json.dumps(written, indent=2, ensure_ascii=False) + "\n")
    assert written == json.loads(path.read_text())


def test_every_destination_has_its_example_and_its_golden_requests() -> None:
    assert set(SETTINGS) == set(DESTINATIONS)
    assert {path.stem for path in FOLDER.glob("*.json")} == set(DESTINATIONS)


def _requests(name: str) -> dict[str, Any]:
    of = an_instance(name)
    found = _of_operations(of)
    for title, settings in VARIANTS.items():
        platform, _, word = title.partition(" ")
        if platform == name:
            for operation, shown in _of_operations(an_instance(name, settings)).items():
                if shown != found[operation]:
                    found[f"{operation}, {word}"] = shown
    setup, audience = of.setup(TOKEN, {}, AT), Audience(id="vip", name="VIP", vendor_id="770077")
    calls = of.destination.audiences
    if calls is not None:
        found["create_audience"] = [_shown(calls.create(audience, setup))]
        if calls.find is not None:
            found["find_audience"] = [_shown(calls.find(audience, setup))]
        if calls.verify is not None:
            found["verify_audience"] = [_shown(calls.verify(audience, setup))]
    return found


def _of_operations(of: Instance) -> dict[str, Any]:
    return {
        operation: [_shown(request) for request in requests(of, [change], ids=IDS)]
        for operation, change in changes().items()
        if of.endpoint(change.operation) is not None
    }


def _shown(request: Request) -> dict[str, Any]:
    try:
        body = json.loads(request.content) if request.content else None
    except ValueError:
        body = request.content.decode()
    return {
        "request": f"{request.method} {request.url}",
        "headers": dict(sorted(request.headers.items())),
        "body": body,
    }
