"""The spool on disk: a queue that a crash, a full disk or an erasure does not disturb."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.ingest import disk
from services.ingest.domain.frames import OVERHEAD
from services.ingest.segment import Position
from services.ingest.spool_files import ERASED, SpoolFiles, SpoolRefused

FRAME_BYTES = OVERHEAD + 40
"""Of the bodies here."""


@pytest.fixture
def files(tmp_path: Path) -> Iterator[SpoolFiles]:
    opened = SpoolFiles(tmp_path, segment_bytes=200)
    yield opened
    opened.close()


def segments(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.spool"))


def drained(files: SpoolFiles) -> list[bytes]:
    found: list[bytes] = []
    while records := files.read():
        found += [body for _, body in records]
        files.forget(records[-1][0], len(records))
    return found


def bodies(first: int, last: int) -> list[bytes]:
    return [f"body {number}".encode().ljust(40) for number in range(first, last)]


def fill(files: SpoolFiles, first: int, last: int) -> None:
    for body in bodies(first, last):
        files.append([body], at=1000)


def test_12_the_spool_gives_back_in_order_and_leaves_nothing(
    files: SpoolFiles, tmp_path: Path
) -> None:
    files.append(bodies(0, 10), at=1000)
    fill(files, 10, 20)
    assert len(segments(tmp_path)) > 2
    assert (files.records, files.oldest_at) == (20, 1000)
    assert drained(files) == bodies(0, 20)
    assert (files.records, files.bytes, files.oldest_at) == (0, 0, None)
    assert segments(tmp_path) == []


def test_12_the_spool_survives_its_process(tmp_path: Path) -> None:
    before = SpoolFiles(tmp_path, segment_bytes=200)
    fill(before, 0, 10)
    (first, _), *_ = before.read()
    before.forget(first, 1)
    counted = (before.records, before.bytes)
    before.close()
    after = SpoolFiles(tmp_path, segment_bytes=200)
    assert (after.records, after.bytes) == counted
    fill(after, 10, 12)
    assert drained(after) == bodies(1, 12)
    after.close()


@settings(deadline=None)
@given(st.integers(1, 300))
def test_12_a_torn_tail_costs_only_what_was_never_acknowledged(
    tmp_path_factory: pytest.TempPathFactory, torn: int
) -> None:
    directory = tmp_path_factory.mktemp("spool")
    before = SpoolFiles(directory, segment_bytes=10_000)
    fill(before, 0, 3)
    before.append(bodies(3, 8), at=1000)
    before.close()
    (only,) = segments(directory)
    size = max(0, only.stat().st_size - torn)
    os.truncate(only, size)
    whole = size // FRAME_BYTES
    after = SpoolFiles(directory, segment_bytes=10_000)
    fill(after, 8, 9)
    assert drained(after) == bodies(0, whole) + bodies(8, 9)
    after.close()
    again = SpoolFiles(directory)
    assert drained(again) == []
    again.close()


def test_12_a_damaged_segment_is_kept_and_its_neighbours_are_drained(tmp_path: Path) -> None:
    before = SpoolFiles(tmp_path, segment_bytes=200)
    fill(before, 0, 9)
    before.close()
    first, *_ = segments(tmp_path)
    whole = first.read_bytes()
    first.write_bytes(whole[:70] + b"?" + whole[71:])
    after = SpoolFiles(tmp_path, segment_bytes=200)
    lost = len(whole) // FRAME_BYTES - 1
    assert drained(after) == bodies(0, 1) + bodies(1 + lost, 9)
    assert len(list(tmp_path.glob("*.damaged"))) == 1
    after.close()


def test_12_a_full_disk_loses_nothing_that_was_acknowledged(
    files: SpoolFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.append(bodies(0, 1), at=1000)
    with monkeypatch.context() as full:

        def half(descriptor: int, data: bytes) -> None:
            os.write(descriptor, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")

        full.setattr(disk, "write", half)
        with pytest.raises(OSError, match="No space"):
            files.append(bodies(1, 2), at=1000)
        with pytest.raises(OSError, match="No space"):
            files.append(bodies(1, 2), at=1000)
    files.append(bodies(2, 3), at=1000)
    assert drained(files) == bodies(0, 1) + bodies(2, 3)


def test_17_what_is_erased_is_gone_from_the_disk_and_the_rest_stays(
    files: SpoolFiles, tmp_path: Path
) -> None:
    fill(files, 0, 10)
    (first, _), *_ = files.read()
    files.forget(first, 1)
    assert files.erase(lambda body: body.startswith((b"body 4", b"body 9"))) == 2
    assert files.erase(lambda body: body.startswith(b"body 4")) == 0
    content = b"".join(path.read_bytes() for path in segments(tmp_path))
    assert b"body 4" not in content
    assert b"body 9" not in content
    fill(files, 10, 11)
    found = [body for body in drained(files) if not body.startswith(ERASED)]
    assert found == [*bodies(1, 4), *bodies(5, 9), *bodies(10, 11)]


def test_12_nobody_else_may_read_the_spool(files: SpoolFiles, tmp_path: Path) -> None:
    fill(files, 0, 10)
    files.erase(lambda body: body.startswith(b"body 1"))
    assert {path.stat().st_mode & 0o777 for path in segments(tmp_path)} == {0o600}


def test_12_two_processes_never_share_a_spool(files: SpoolFiles, tmp_path: Path) -> None:
    with pytest.raises(SpoolRefused, match="another process uses the spool"):
        SpoolFiles(tmp_path)


def test_12_a_directory_that_cannot_be_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SpoolRefused, match="set AFFLUX_INGEST_SPOOL_DIR"):
        SpoolFiles(tmp_path / "file" / "spool")


def test_12_the_note_of_an_earlier_life_skips_nothing(tmp_path: Path) -> None:
    before = SpoolFiles(tmp_path)
    fill(before, 0, 4)
    position = before.read()[1][0]
    before.forget(position, 2)
    note = (tmp_path / "drained").read_bytes()
    drained(before)
    fill(before, 4, 8)
    before.close()
    (tmp_path / "drained").write_bytes(note)
    after = SpoolFiles(tmp_path)
    assert drained(after) == bodies(4, 8)
    assert Position(1, 2) < Position(1, 3) < Position(2, 0)
    after.close()
