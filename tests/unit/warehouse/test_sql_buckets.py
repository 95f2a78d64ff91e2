"""What is kept of a bucket of rows, and what its comparison tells (warehouse-cdc §8)."""

from services.warehouse.domain.canonical import KEY_BYTES, ROW_BYTES
from services.warehouse.domain.sql.buckets import (
    ENTRY_BYTES,
    SHARED,
    UNKNOWN,
    Listed,
    compare,
    pack,
    pack_keys,
    slices,
    unpack,
    unpack_keys,
)


def key(number: int) -> bytes:
    return number.to_bytes(KEY_BYTES, "big")


def digest(number: int) -> bytes:
    return number.to_bytes(ROW_BYTES, "big")


def row(number: int, content: int) -> Listed:
    return key(number), digest(content), f"row {number}"


KEPT = {key(1): digest(10), key(2): digest(20), key(3): UNKNOWN}


def test_s8_a_row_is_kept_as_24_bytes() -> None:
    assert len(pack(KEPT)) == 3 * ENTRY_BYTES == 3 * 24
    assert unpack(pack(KEPT)) == KEPT
    assert unpack_keys(pack_keys(KEPT)) == frozenset(KEPT)


def test_s8_only_new_and_changed_rows_and_those_in_doubt_are_told() -> None:
    found = compare(KEPT, [row(1, 10), row(2, 21), row(3, 30), row(4, 40)], "changes")
    assert set(found.changed) == {key(2), key(3), key(4)}
    assert found.gone == frozenset()
    assert found.entries == {n: d for n, d, _ in map(row, (1, 2, 3, 4), (10, 21, 30, 40))}


def test_s8_what_is_about_to_be_told_is_in_doubt_until_it_is() -> None:
    found = compare(KEPT, [row(1, 10), row(2, 21), row(4, 40)], "changes")
    assert found.pending == {
        key(1): digest(10),
        key(2): UNKNOWN,
        key(3): UNKNOWN,
        key(4): UNKNOWN,
    }


def test_s8_missing_keys_are_gone_and_kept_until_told() -> None:
    found = compare(KEPT, [row(1, 10)], "changes")
    assert found.gone == {key(2), key(3)}
    assert found.entries == KEPT


def test_s8_rows_that_share_a_key_are_refused_and_change_nothing() -> None:
    found = compare(KEPT, [row(1, 10), row(2, 21), row(2, 22), row(5, 1), row(5, 1)], "changes")
    assert {k: len(rows) for k, rows in found.refused.items()} == {key(2): 2, key(5): 2}
    assert found.changed == {}
    assert found.entries == KEPT
    assert found.gone == {key(3)}


def test_s8_rows_whose_key_may_be_anothers_are_refused() -> None:
    found = compare(
        KEPT, [(SHARED, digest(1), "x"), row(1, 10), (SHARED, digest(2), "y")], "silent"
    )
    assert {k: len(rows) for k, rows in found.refused.items()} == {SHARED: 2}
    assert (found.changed, found.entries) == ({}, KEPT)


def test_s8_a_changed_model_takes_rows_as_told_or_tells_all_again() -> None:
    rows = [row(1, 11), row(2, 20), row(3, 30), row(4, 40)]
    silent = compare(KEPT, rows, "silent")
    assert set(silent.changed) == {key(3), key(4)}
    assert silent.entries[key(1)] == digest(11)
    assert set(compare(KEPT, rows, "everything").changed) == {key(n) for n in (1, 2, 3, 4)}


def test_s8_buckets_come_in_slices_that_can_be_sorted() -> None:
    counts = {"003": 5, "001": 4, "002": 4, "004": 20, "005": 0}
    assert list(slices(counts, 10)) == [["001", "002"], ["003"], ["004"], ["005"]]
    assert list(slices({}, 10)) == []
