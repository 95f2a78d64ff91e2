"""Writing so that it stays written: whole, synced, and readable by nobody else."""

import os
from pathlib import Path


def create(path: Path) -> int:
    """A descriptor to append to a new file that will still be there after a power cut."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
    _sync_directory(path.parent)
    return descriptor


def write(descriptor: int, data: bytes | bytearray) -> None:
    """All of it, synced."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
    os.fsync(descriptor)


def replace(path: Path, data: bytes | bytearray) -> None:
    """The whole new content or the whole old one, whatever happens meanwhile."""
    fresh = path.with_suffix(".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        write(descriptor, data)
    finally:
        os.close(descriptor)
    fresh.replace(path)
    _sync_directory(path.parent)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
