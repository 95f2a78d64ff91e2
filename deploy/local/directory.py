"""A server's data directory: made, kept to one starter at a time."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.local.errors import DirectoryInUse


@contextmanager
def owned(directory: Path) -> Iterator[Path]:
    """The absolute path, locked while the block runs; the lock ends with the process that holds it.

    Who holds the lock may take any server recorded in the directory for an orphan.
    """
    directory = directory.resolve()
    directory.mkdir(parents=True, exist_ok=True)
    lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise DirectoryInUse(f"{directory} is in use by another running stack") from None
    try:
        yield directory
    finally:
        os.close(lock)
