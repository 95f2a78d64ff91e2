"""State on disk, and a cycle's changes over it, compared with plain dictionaries."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.runtime.store import Overlay, PartitionStore

KEYS = st.binary(min_size=1, max_size=3).map(lambda key: bytes(b"abc\xff"[n % 4] for n in key))
VALUES = st.binary(max_size=3)
CHANGES = st.dictionaries(KEYS, st.none() | VALUES, max_size=12)
PREFIXES = st.just(b"") | KEYS


@pytest.fixture
def store(tmp_path: Path) -> Iterator[PartitionStore]:
    store = PartitionStore(tmp_path / "0")
    yield store
    store.close()


def applied(
    model: Mapping[bytes, bytes], changes: Mapping[bytes, bytes | None]
) -> dict[bytes, bytes]:
    return {key: value for key, value in {**model, **changes}.items() if value is not None}


def scanned(model: Mapping[bytes, bytes], prefix: bytes, start: bytes) -> list[tuple[bytes, bytes]]:
    return sorted((k, v) for k, v in model.items() if k.startswith(prefix) and k >= start)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(kept=CHANGES, laid_over=CHANGES, prefix=PREFIXES, start=PREFIXES)
def test_overlay_reads_like_the_changed_dictionary(
    store: PartitionStore,
    kept: dict[bytes, bytes | None],
    laid_over: dict[bytes, bytes | None],
    prefix: bytes,
    start: bytes,
) -> None:
    store.write({key: None for key, _ in list(store.scan(b""))})
    store.write(kept)
    overlay = Overlay(store)
    for key, value in laid_over.items():
        if value is None:
            overlay.delete(key)
        else:
            overlay.put(key, value)

    before = applied({}, kept)
    after = applied(before, laid_over)
    assert list(overlay.scan(prefix, start=start)) == scanned(after, prefix, start)
    assert {key: overlay.get(key) for key in kept | laid_over} == {
        key: after.get(key) for key in kept | laid_over
    }
    assert list(store.scan(prefix, start=start)) == scanned(before, prefix, start)
    store.write(overlay.changes)
    assert dict(store.scan(b"")) == after


def test_changes_during_a_scan_are_not_seen_by_it(store: PartitionStore) -> None:
    store.write({b"a": b"1", b"b": b"2", b"c": b"3"})
    overlay = Overlay(store)
    overlay.put(b"bb", b"new")
    seen = []
    for key, value in overlay.scan(b""):
        seen.append((key, value))
        overlay.delete(b"c")
        overlay.put(b"d", b"later")
        store.write({b"c": None, b"e": b"later"})
    assert seen == [(b"a", b"1"), (b"b", b"2"), (b"bb", b"new"), (b"c", b"3")]


def test_state_survives_closing_and_not_wiping(tmp_path: Path) -> None:
    first = PartitionStore(tmp_path / "0")
    first.write({b"a": b"1", b"gone": None})
    first.close()
    second = PartitionStore(tmp_path / "0")
    assert dict(second.scan(b"")) == {b"a": b"1"}
    second.wipe()
    assert second.get(b"a") is None
    second.write({b"b": b"2"})
    assert dict(second.scan(b"")) == {b"b": b"2"}
    second.close()
