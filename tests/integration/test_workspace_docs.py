"""Every command in docs/workspace.md does what the page says it does."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from schemas.topics import DEAD_LETTERS, DEFINITIONS, activations
from services.runtime.health import Health, serve
from tests.integration.conftest import KafkaAddress
from tests.integration.topics import recreate_topics

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "workspace.md"
COMMANDS = [
    line.partition("#")[0].strip()
    for block in re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    for line in block.splitlines()
]


@pytest.fixture
def environment(kafka: KafkaAddress) -> dict[str, str]:
    recreate_topics(kafka.bootstrap, [DEFINITIONS, DEAD_LETTERS, activations("ads")], 2)
    commands = str(Path(sys.executable).parent)
    return {
        **os.environ,
        "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}",
        "AFFLUX_KAFKA_BOOTSTRAP": kafka.bootstrap,
        "AFFLUX_PARTITIONS": "2",
    }


def test_the_commands_of_the_page_work(environment: dict[str, str]) -> None:
    assert len(COMMANDS) == 7
    health = Health("router")
    health.ready()
    server = serve(health, "127.0.0.1", 0)
    environment["AFFLUX_STATUS_URLS"] = f"http://127.0.0.1:{server.port}"
    try:
        for command in COMMANDS:
            done = subprocess.run(
                command,
                shell=True,
                cwd=ROOT,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            assert (done.returncode, done.stderr) == (0, ""), command
    finally:
        server.close()
