"""A directory for a whole platform, logs beside a failure, and names that are the same twice."""

import os
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from deploy.local.errors import MissingPrerequisite
from deploy.local.rungs import kafka_lacks, postgres_lacks

DIRECTORY = pytest.StashKey[Path]()
SHOWN_OF_A_LOG = 4_000
"""Characters, from its end."""


@pytest.fixture
def directory(request: pytest.FixtureRequest) -> Iterator[Path]:
    """Not pytest's own, which the user that PostgreSQL runs as may not enter."""
    lacking: MissingPrerequisite | None = kafka_lacks(os.environ) or postgres_lacks()
    if lacking is not None:
        pytest.skip(str(lacking))
    with tempfile.TemporaryDirectory(prefix="afflux-test-") as name:
        Path(name).chmod(0o755)
        request.node.stash[DIRECTORY] = Path(name)
        yield Path(name)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Packed bytes are named by their argument: gzip's hold the second they were made in.

    Two workers that collect a second apart would know different tests and refuse to run any.
    """
    return argname if isinstance(val, bytes) and not val.isascii() else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failure shows the ends of the processes' logs, which go with their directory."""
    report = yield
    directory = item.stash.get(DIRECTORY, None)
    if report.failed and directory is not None:
        for log in sorted(directory.glob("logs/*.log")):
            text = log.read_text(encoding="utf-8", errors="replace")
            report.sections.append((log.name, text[-SHOWN_OF_A_LOG:]))
    return report
