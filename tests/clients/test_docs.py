"""Every snippet in docs/clients.md sends its event, copied as it stands (contract §15)."""

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deploy.local.errors import MissingPrerequisite
from deploy.local.kafka import Kafka
from deploy.local.ports import free_port
from tests.clients import environments
from tests.clients.driving import opened_page
from tests.clients.service import KEYS, assert_counters_agree, empty, events, ready_ingest
from tests.integration.ingest_process import IngestProcess, until

PAGE = Path(__file__).parents[2] / "docs" / "clients.md"
SNIPPETS = {
    name: (language, text)
    for language, name, text in re.findall(
        r"^```(\w+) ([\w-]+)\n(.*?)^```$",
        PAGE.read_text(encoding="utf-8"),
        re.DOTALL | re.MULTILINE,
    )
}
ADDRESS = "https://events.example.com"


@pytest.fixture(scope="module")
def ingest(broker: Kafka) -> Iterator[IngestProcess]:
    empty(broker.bootstrap)
    port = free_port()
    settings = {
        "AFFLUX_INGEST_PORT": str(port),
        "AFFLUX_INGEST_PUBLIC_URL": f"http://127.0.0.1:{port}",
    }
    with ready_ingest(broker.bootstrap, settings) as running:
        yield running
        assert_counters_agree(running)


@pytest.mark.parametrize("name", SNIPPETS)
def test_s15_the_snippet_of_the_page_sends_its_event(
    name: str, ingest: IngestProcess, broker: Kafka
) -> None:
    language, text = SNIPPETS[name]
    text = text.replace(ADDRESS, ingest.url).replace("WRITE_KEY", _key(name))
    before = len(events(broker.bootstrap))
    try:
        _run(name, language, text, lambda: len(events(broker.bootstrap)) > before)
    except MissingPrerequisite as missing:
        pytest.skip(str(missing))
    last = events(broker.bootstrap)[-1]
    assert (last.name, json.loads(last.payload)["properties"]["plan"]) == ("Signed Up", "pro")


def _key(name: str) -> str:
    family = {"rud": "rudder", "jit": "jitsu"}
    return KEYS[family.get(name[:3], "segment")]


def _run(name: str, language: str, text: str, is_stored: Callable[[], bool]) -> None:
    match language:
        case "python":
            _done([str(environments.python(name)), "-c", text])
        case "js":
            _done([environments.node(), "--input-type=module", "--eval", text])
        case "sh":
            _done(["sh", "-c", text])
        case "html":
            with opened_page(text):
                until(is_stored, "the page's event")


def _done(command: list[str]) -> None:
    done = subprocess.run(
        command, cwd=environments.NODE, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
