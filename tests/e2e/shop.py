"""A small shop on the whole platform, and waiting for what must come of it."""

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

from examples.shop.receiver import Receiver
from schemas.records import BuildCalled
from schemas.topics import PROFILE_EVENTS
from services.control.apply import apply, valid_documents
from services.control.platform import Platform, running_platform
from tests.integration.exactly_once_log import Log

WORKSPACE = Path(__file__).with_name("workspace")
WRITE_KEY = "story-key"
SECRET = "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"
PARTITIONS = 3
PATIENCE_S = 120.0


@dataclass(frozen=True, slots=True)
class Shop:
    """The platform with the shop's workspace in force, and what its topics hold."""

    platform: Platform
    log: Log

    @property
    def url(self) -> str:
        return self.platform.ingest_urls[0]

    def is_ready(self, service: str) -> bool:
        return self._readiness(service) == "ready"

    def is_away(self, service: str) -> bool:
        return not self.is_ready(service)

    def waits_for(self, service: str, what: str) -> bool:
        """Whether it says that it is not ready because of this."""
        return what in self._readiness(service)

    def _readiness(self, service: str) -> str:
        """`ready`, or why not."""
        (process,) = (p for p in self.platform.processes if p.service == service)
        try:
            with urlopen(f"{process.url}/readyz", timeout=5) as answer:
                return str(answer.read().decode().strip())
        except HTTPError as refusal:
            return str(refusal.read().decode().strip())
        except OSError:
            return "no answer"


@contextmanager
def running_shop(
    directory: Path, receiver: Receiver, environment: Mapping[str, str] = os.environ
) -> Iterator[Shop]:
    """Everything up, and the workspace in force everywhere."""
    services = {**environment, "STORY_WRITE_KEY": WRITE_KEY, "STORY_SECRET": SECRET}
    with running_platform(
        directory, partitions=PARTITIONS, durable=False, environment=services
    ) as platform:
        documents = valid_documents(_workspace(directory, receiver))
        apply(platform.bootstrap, documents, partitions=PARTITIONS)
        with closing(Log(platform.bootstrap, PARTITIONS)) as log:
            wait_until(lambda: _in_force(platform, log), "the workspace in force")
            yield Shop(platform, log)


def wait_until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def _workspace(directory: Path, receiver: Receiver) -> Path:
    """The shop's workspace with the receiver's address in it."""
    copy = directory / "workspace"
    shutil.copytree(WORKSPACE, copy)
    for file in copy.glob("*.yaml"):
        text = file.read_text(encoding="utf-8")
        file.write_text(text.replace("http://127.0.0.1:9/ads", receiver.url), encoding="utf-8")
    return copy


def _in_force(platform: Platform, log: Log) -> bool:
    with urlopen(f"{platform.processes[0].url}/status", timeout=5) as answer:
        knows_source = "source:web" in json.load(answer)["definitions"]
    calls = [w.record for w in log[PROFILE_EVENTS] if isinstance(w.record, BuildCalled)]
    built = sum(call.call == "end" for call in calls)
    return knows_source and built >= PARTITIONS
