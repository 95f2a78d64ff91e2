"""A dry run writes what would be sent, and nothing that would let anybody send it."""

import json
from pathlib import Path

import pytest

from services.activator.ways_out import way_out
from tests.unit.activator.building import requests
from tests.unit.activator.examples import an_instance, changes


@pytest.mark.parametrize(
    ("name", "operation", "secret"),
    [
        ("slack_webhook", "send_event", "/services/T1/B1/X1"),
        ("braze", "add_member", "key"),
        ("tiktok_audiences", "add_member", "token"),
    ],
)
async def test_no_secret_is_written(name: str, operation: str, secret: str, tmp_path: Path) -> None:
    path = tmp_path / "requests.ndjson"
    rehearsed = an_instance(name, {"dry_run": str(path)})
    (request, *_) = requests(rehearsed, [changes()[operation]])
    client = way_out(rehearsed)
    await client.send(request)
    await client.close()
    (line,) = map(json.loads, path.read_text().splitlines())
    assert secret not in line["url"]
    assert not [text for text in line["headers"].values() if secret in text.split()]
    assert line["body"] == request.content.decode()
