"""The memory of durable ids: what it holds for certain, and how large it gets."""

from services.ingest.memory import Recent


def test_12_a_durable_id_is_known_for_its_source_only() -> None:
    memory = Recent(10)
    memory.remember("web", ["m1", "m2"])
    assert memory.any_seen("web", ["m1"])
    assert memory.any_seen("web", ["m2"])
    assert not memory.any_seen("app", ["m1"])
    assert not memory.any_seen("web", ["m3"])


def test_12_the_last_entries_are_known_and_never_more_than_twice_as_many() -> None:
    memory = Recent(10)
    for number in range(1000):
        memory.remember("web", [str(number)])
        assert all(memory.any_seen("web", [str(n)]) for n in range(max(0, number - 9), number + 1))
    assert sum(memory.any_seen("web", [str(number)]) for number in range(1000)) <= 20
