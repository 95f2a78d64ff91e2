"""What `afflux dev` leaves for the commands that are called beside it, in the same folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DATA_DIR = Path(".afflux")
DSN_FILE = DATA_DIR / "postgres_dsn"


@contextmanager
def remembered(dsn: str) -> Iterator[None]:
    """Other commands find this database for the length of the block."""
    DSN_FILE.touch(mode=0o600)
    DSN_FILE.write_text(dsn, encoding="utf-8")
    try:
        yield
    finally:
        DSN_FILE.unlink(missing_ok=True)


def remembered_dsn() -> str | None:
    """The database of the platform that runs in this folder; None when none does."""
    try:
        return DSN_FILE.read_text(encoding="utf-8")
    except OSError:
        return None
