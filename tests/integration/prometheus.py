"""A real Prometheus for a test: our configuration and rules, its targets where the test says."""

import json
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from signal import Signals
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import urlopen

from ruamel.yaml import YAML

from deploy.local.child import Child, Command
from deploy.local.ports import HOST, free_port

OURS = Path(__file__).parents[2] / "deploy" / "prometheus"
PROGRAM = shutil.which("prometheus")
MISSING = "prometheus is missing: install Debian's package prometheus"
PATIENCE_S = 60.0
POLL_S = 0.1

Targets = Mapping[str, Sequence[tuple[str, str]]]
"""Job → (service, host:port) of each process."""


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A running Prometheus, asked over its HTTP API."""

    url: str

    def values(self, query: str) -> list[float]:
        """The value of each series that the query finds."""
        found = self._ask("query", query=query)["result"]
        return [float(series["value"][1]) for series in found]

    def wait_until_up(self, processes: int) -> None:
        """Wait until so many targets have been scraped.

        Raises:
            TimeoutError: some were not; says which and why.
        """
        deadline = time.monotonic() + PATIENCE_S
        while sum(self.values("up")) < processes:
            if time.monotonic() > deadline:
                targets = self._ask("targets")["activeTargets"]
                down = {t["scrapeUrl"]: t["lastError"] for t in targets if t["health"] != "up"}
                raise TimeoutError(f"not scraped within {PATIENCE_S:.0f} s: {down}")
            time.sleep(POLL_S)

    def wait_for_a_scrape(self) -> None:
        """Wait until each target has been scraped after this call."""
        began, deadline = time.time(), time.monotonic() + PATIENCE_S
        while min(self.values("timestamp(up)"), default=0.0) <= began:
            if time.monotonic() > deadline:
                raise TimeoutError(f"no scrape within {PATIENCE_S:.0f} s")
            time.sleep(POLL_S)

    def rule_faults(self) -> dict[str, str]:
        """Alert → why it could not be evaluated."""
        return {
            rule["name"]: rule.get("lastError", "")
            for group in self._ask("rules")["groups"]
            for rule in group["rules"]
            if rule["health"] == "err"
        }

    def firing(self) -> set[str]:
        """The names of the alerts that fire now."""
        alerts = self._ask("alerts")["alerts"]
        return {a["labels"]["alertname"] for a in alerts if a["state"] == "firing"}

    def is_ready(self) -> bool:
        try:
            with urlopen(f"{self.url}/-/ready", timeout=1):
                return True
        except (HTTPError, OSError):
            return False

    def _ask(self, path: str, **parameters: str) -> Any:
        with urlopen(f"{self.url}/api/v1/{path}?{urlencode(parameters)}", timeout=10) as answer:
            return json.load(answer)["data"]


@contextmanager
def prometheus(directory: Path, targets: Targets) -> Iterator[Prometheus]:
    """Scrape these targets each second, as long as the block runs."""
    assert PROGRAM is not None, MISSING
    configuration = directory / "prometheus.yml"
    YAML(typ="safe").dump(_aimed_at(targets), configuration)
    port = free_port()
    child = Child(
        Command(
            name="Prometheus",
            arguments=[
                PROGRAM,
                f"--config.file={configuration}",
                f"--storage.tsdb.path={directory / 'data'}",
                f"--web.listen-address={HOST}:{port}",
                "--log.level=warn",
            ],
            directory=directory,
            stop_signal=Signals.SIGTERM,
            orphan_signal=Signals.SIGKILL,
        )
    )
    try:
        running = Prometheus(f"http://{HOST}:{port}")
        child.wait_until(running.is_ready)
        yield running
    finally:
        child.stop()


def _aimed_at(targets: Targets) -> dict[str, Any]:
    """Our own configuration, quicker and with other targets."""
    configuration: dict[str, Any] = YAML(typ="safe").load(OURS / "prometheus.yml")
    quick = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    configuration["global"] |= quick
    configuration["rule_files"] = [str(OURS / name) for name in configuration["rule_files"]]
    for job in configuration["scrape_configs"]:
        job["static_configs"] = [
            {"targets": [address], "labels": {"service": service}}
            for service, address in targets.get(job["job_name"], ())
        ]
    return configuration
