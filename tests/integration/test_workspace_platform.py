"""The whole platform on this machine, as `afflux dev` and the demo run it."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.request import urlopen

import msgspec
import psutil
import pytest

from deploy.local.errors import PortTaken
from deploy.local.ports import free_port
from services.control.platform import Ports, running_platform

PATIENCE_S = 240.0
SHOP = Path(__file__).parents[2] / "examples" / "shop" / "workspace"
SECRETS = {"SHOP_WRITE_KEY": "key", "SHOP_ADS_SECRET": "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"}


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def ready(url: str) -> bool:
    try:
        with urlopen(f"{url}/readyz", timeout=2):
            return True
    except OSError:
        return False


def test_all_services_get_ready_and_what_dies_comes_back(directory: Path) -> None:
    with running_platform(directory, partitions=2, durable=False) as platform:
        names = [process.name for process in platform.processes]
        services = ["ingest", "identity", "segmenter", "router", "warehouse", "senders"]
        assert names == [f"{service}-0" for service in services]
        assert all(ready(url) for url in platform.status_urls)
        pids = {name: platform.supervisor.pid(name) for name in names}
        identity = pids["identity-0"]
        assert identity is not None
        os.kill(identity, signal.SIGKILL)
        wait_until(lambda: platform.supervisor.pid("identity-0") not in (None, identity))
        wait_until(lambda: all(ready(url) for url in platform.status_urls))
    assert not any(psutil.pid_exists(pid) for pid in pids.values() if pid is not None)
    assert not any(ready(url) for url in platform.status_urls)


def test_a_taken_port_is_a_sentence_and_nothing_stays(directory: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        sentence = f"port {port} is taken; set AFFLUX_INGEST_PORT to a free port"
        with (
            pytest.raises(PortTaken, match=sentence),
            running_platform(directory, ports=Ports(ingest=port), durable=False),
        ):
            pytest.fail("it must not come up")


def test_dev_applies_a_workspace_and_ends_everything(directory: Path) -> None:
    health = free_port()
    environment = {
        **os.environ,
        **SECRETS,
        "AFFLUX_KAFKA_PORT": str(free_port()),
        "AFFLUX_INGEST_PORT": str(free_port()),
        "AFFLUX_FIRST_HEALTH_PORT": str(health),
        "AFFLUX_PARTITIONS": "2",
    }
    afflux = Path(sys.executable).with_name("afflux")
    command = [str(afflux), "dev", "--workspace", str(SHOP)]
    output = directory / "output.log"
    with output.open("wb") as said:
        process = subprocess.Popen(
            command, cwd=directory, env=environment, stdout=said, stderr=subprocess.STDOUT
        )
    children: list[psutil.Process] = []
    try:
        wait_until(lambda: process.poll() is not None or "ready" in output.read_text().split())
        children = psutil.Process(process.pid).children(recursive=True)
        wait_until(lambda: _version(health + 2) == 1)
        kafka = f"127.0.0.1:{environment['AFFLUX_KAFKA_PORT']}"
        beside = subprocess.run(
            [str(afflux), "resume", "ads"],
            cwd=directory,
            env={**os.environ, "AFFLUX_KAFKA_BOOTSTRAP": kafka},
            check=False,
            capture_output=True,
            text=True,
        )
        assert (beside.returncode, beside.stdout) == (0, "ads is not paused\n"), beside.stderr
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0, output.read_text()
    finally:
        process.kill()
        process.wait()
    assert "+ segment abandoned-cart (new)" in output.read_text()
    assert "Traceback" not in output.read_text()
    assert psutil.wait_procs(children, timeout=20)[1] == []
    assert (directory / ".afflux" / "logs" / "segmenter-0.log").exists()
    assert not (directory / ".afflux" / "postgres_dsn").exists()


def _version(health_port: int) -> int | None:
    """Of the abandoned cart, as the service there runs it."""
    with urlopen(f"http://127.0.0.1:{health_port}/status", timeout=2) as answer:
        status = msgspec.json.decode(answer.read())
    found = status["definitions"].get("segment:abandoned-cart")
    return int(found) if found is not None else None
