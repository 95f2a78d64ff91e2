"""A directory for a whole platform; where it cannot run the test is skipped with the reason."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.errors import MissingPrerequisite
from deploy.local.rungs import kafka_lacks, postgres_lacks


@pytest.fixture
def directory() -> Iterator[Path]:
    """Not pytest's own, which the user that PostgreSQL runs as may not enter."""
    lacking: MissingPrerequisite | None = kafka_lacks(os.environ) or postgres_lacks()
    if lacking is not None:
        pytest.skip(str(lacking))
    with tempfile.TemporaryDirectory(prefix="afflux-test-") as name:
        Path(name).chmod(0o755)
        yield Path(name)
