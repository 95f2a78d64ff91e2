"""A real Prometheus scrapes the running platform and finds numbers behind every panel."""

import base64
import json
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from math import isnan
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import pytest
from confluent_kafka import Producer

from deploy.grafana.panels import FLOW, ROWS
from deploy.local.errors import MissingPrerequisite
from examples.shop.receiver import Receiver
from schemas.topics import EVENTS
from services.control.apply import apply, valid_documents
from services.control.platform import Platform, running_platform
from services.runtime.kafka import client
from tests.integration.prometheus import MISSING, PROGRAM, Prometheus, Targets, prometheus

PARTITIONS = 2
PATIENCE_S = 180.0
WINDOW = "2m"
"""In place of Grafana's `$__rate_interval`: all that happened while the test ran."""
WRITE_KEY = "key-of-the-test"
SECRET = "whsec_" + base64.b64encode(b"thirty-two bytes for the signing").decode()
WORKSPACE = """
kind: source
id: web
write_keys: [env:OBSERVED_WRITE_KEY]
---
kind: segment
id: pro-plan
where: {{trait: plan, op: equals, value: pro}}
---
kind: segment
id: just-seen
where: {{event: Product Viewed, within: 1s}}
---
kind: destination
id: ads
type: webhook
settings: {{base_url: "{url}", secret: "env:OBSERVED_SECRET", allow_private: true}}
audiences: [{{segment: pro-plan}}, {{segment: just-seen}}]
"""

pytestmark = pytest.mark.skipif(PROGRAM is None, reason=MISSING)


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    """Every service, and a workspace with a destination that answers."""
    environment = {**os.environ, "OBSERVED_WRITE_KEY": WRITE_KEY, "OBSERVED_SECRET": SECRET}
    with (
        closing(Receiver(SECRET)) as receiver,
        tempfile.TemporaryDirectory(prefix="afflux-") as directory,
        _skipped_when_missing(),
        running_platform(
            Path(directory, "platform"),
            partitions=PARTITIONS,
            durable=False,
            environment=environment,
        ) as running,
    ):
        workspace = Path(directory, "workspace")
        workspace.mkdir()
        (workspace / "all.yaml").write_text(WORKSPACE.format(url=receiver.url), encoding="utf-8")
        apply(running.bootstrap, valid_documents(workspace), partitions=PARTITIONS)
        yield running


def test_every_panel_of_the_dashboard_has_numbers_and_nothing_needs_attention(
    platform: Platform, tmp_path: Path
) -> None:
    targets = _targets(platform)
    with prometheus(tmp_path, targets) as running:
        running.wait_until_up(sum(len(processes) for processes in targets.values()))
        visitor, deadline = 0, time.monotonic() + PATIENCE_S
        while empty := _panels_without_numbers(running):
            assert time.monotonic() < deadline, (empty, _logs(platform))
            visitor += 1
            _visit(platform, visitor)
            running.wait_for_a_scrape()
        for step, query in FLOW.panels[0].queries.items():
            assert running.values(_over_the_test(query))[0] > 0, step
        while any(running.values("afflux_unaccounted_events")):
            assert time.monotonic() < deadline, _logs(platform)
            running.wait_for_a_scrape()
        assert running.rule_faults() == {}
        # The test itself sends what cannot be taken; nothing else may be wrong.
        assert running.firing() <= {"AffluxDeadLetters"}


def _visit(platform: Platform, visitor: int) -> None:
    """One person comes, is recognised, enters both segments; two things go wrong on the way."""
    anonymous = {"anonymousId": f"anonymous-{visitor}"}
    known = {"userId": f"user-{visitor}"}
    _send(platform, {"type": "track", "event": "Product Viewed", **anonymous})
    _send(platform, {"type": "identify", "traits": {"plan": "pro"}, **known})
    _send(platform, {"type": "identify", **anonymous, **known})
    _send(platform, {"type": "track", "event": 7, **known})
    producer = Producer(client(platform.bootstrap))
    producer.produce(EVENTS.name, value=b"no record", partition=visitor % PARTITIONS)
    assert producer.flush(10) == 0


def _send(platform: Platform, event: Mapping[str, Any]) -> None:
    credentials = base64.b64encode(f"{WRITE_KEY}:".encode()).decode()
    request = Request(
        f"{platform.ingest_urls[0]}/v1/batch",
        data=json.dumps({"batch": [event]}).encode(),
        headers={"Authorization": f"Basic {credentials}", "Content-Type": "application/json"},
    )
    with urlopen(request, timeout=10) as answer:
        assert answer.status == 200


def _panels_without_numbers(running: Prometheus) -> list[str]:
    """A panel's query finds nothing, or quantiles of nothing."""
    return [
        f"{panel.title}, {legend}"
        for row in ROWS
        for panel in row.panels
        for legend, query in panel.queries.items()
        if all(isnan(value) for value in running.values(_over_the_test(query)))
    ]


def _over_the_test(query: str) -> str:
    return query.replace("$__rate_interval", WINDOW)


def _targets(platform: Platform) -> Targets:
    services = [(each.service, urlsplit(each.url).netloc) for each in platform.processes]
    (senders,) = (each.health_port for each in platform.processes if each.service == "senders")
    return {"afflux": services, "afflux-senders": [("sender", f"127.0.0.1:{senders + 1}")]}


def _logs(platform: Platform) -> dict[str, str]:
    """The end of each log, for the case that something is missing."""
    return {
        path.stem: path.read_text(encoding="utf-8", errors="replace")[-1500:]
        for path in (platform.data_dir / "logs").glob("*.log")
    }


@contextmanager
def _skipped_when_missing() -> Iterator[None]:
    try:
        yield
    except MissingPrerequisite as missing:
        pytest.skip(str(missing))
