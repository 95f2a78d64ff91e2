"""The table of topics: settings, and the partition that every producer agrees on."""

from datetime import timedelta

import pytest

from schemas.topics import (
    DEFINITIONS,
    EVENTS,
    PROFILES,
    TOPICS,
    activations,
    changelog,
    partition_of,
)


@pytest.mark.parametrize(
    ("key", "crc32"),
    [
        (b"123456789", 0xCBF43926),
        (b"", 0),
        (b"a", 0xE8B7BE43),
        (b"The quick brown fox jumps over the lazy dog", 0x414FA339),
    ],
)
def test_partition_is_the_published_crc_32_modulo_the_count(key: bytes, crc32: int) -> None:
    for count in (1, 2, 6, 17):
        assert partition_of(key, count) == crc32 % count


def test_names_are_unique_and_versioned() -> None:
    names = [t.name for t in (*TOPICS, activations("ads"), changelog("identity"))]
    assert len(set(names)) == len(names)
    assert all(name.startswith("afflux.") and name.endswith(".v1") for name in names)


def test_the_broker_stamps_every_record() -> None:
    """Stream time is the only clock of decisions; a producer's clock may lie."""
    assert {t.config()["message.timestamp.type"] for t in TOPICS} == {"LogAppendTime"}


def test_what_is_compacted_has_no_end_of_life() -> None:
    for topic in (DEFINITIONS, PROFILES, changelog("identity")):
        assert topic.config()["cleanup.policy"] == "compact"
        assert "retention.ms" not in topic.config()
        assert topic.config()["max.compaction.lag.ms"] == "86400000"
    assert EVENTS.config()["retention.ms"] == str(timedelta(days=7) // timedelta(milliseconds=1))
