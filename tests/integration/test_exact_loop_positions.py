"""design.md §2 rule 1: positions are the last step of every transaction, of outputs alone too."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from uuid import uuid4

from confluent_kafka import Consumer, TopicPartition
from msgspec.structs import replace

from schemas.records import Tick
from schemas.topics import EVENTS, PROFILE_EVENTS, Topic
from services.runtime.health import Health
from services.runtime.kafka import reader
from services.runtime.position import POSITION_KEY, decode_position, encode
from services.runtime.processor import Worker
from services.runtime.settings import RuntimeSettings
from services.runtime.stage import Cycle, Received, State
from services.runtime.store import PartitionStore
from tests.integration.conftest import KafkaAddress
from tests.integration.counting_workers import wait_until
from tests.integration.topics import recreate_topics


class Ticking:
    """Reads nothing, remembers nothing, emits one tick."""

    inputs: Sequence[Topic] = (EVENTS,)

    def __init__(self) -> None:
        self.name = f"ticking-{uuid4().hex[:8]}"
        self.committed_cycles = 0
        self.number = 0

    def assigned(self, partition: int, state: State, positions: Mapping[str, int]) -> None:
        pass

    def revoked(self, partition: int) -> None:
        pass

    def passes_over(self, topic: str) -> bool:
        return False

    def decide(self, batch: Sequence[Received], cycle: Cycle) -> None:
        raise AssertionError("there is nothing to decide")

    def idle(self, cycle: Cycle) -> None:
        if not self.committed_cycles:
            cycle.emit(PROFILE_EVENTS, key="tick", record=Tick(partition=0), partition=0)

    def committed(self) -> None:
        self.committed_cycles += 1


def test_r1_outputs_alone_are_committed_with_a_position(
    kafka: KafkaAddress, tmp_path: Path
) -> None:
    """Else the broker would not see that a paused worker is a member no more."""
    recreate_topics(kafka.bootstrap, (EVENTS, PROFILE_EVENTS), 2)
    stage = Ticking()
    for _ in range(2):
        stage.committed_cycles = 0
        live(stage, RuntimeSettings(kafka_bootstrap=kafka.bootstrap, state_dir=tmp_path))
    assert committed(kafka.bootstrap, stage.name) == 0


class Remembering(Ticking):
    """Counts its cycles in the state, without any input."""

    def idle(self, cycle: Cycle) -> None:
        if not self.committed_cycles:
            state = cycle.state(0)
            self.number = int(state.get(b"number") or b"0") + 1
            state.put(b"number", str(self.number).encode())


def test_r2_state_that_changed_without_input_is_restored_too(
    kafka: KafkaAddress, tmp_path: Path
) -> None:
    """The input position is the same before and after: it alone does not tell a stale copy."""
    recreate_topics(kafka.bootstrap, (EVENTS, PROFILE_EVENTS), 2)
    stage = Remembering()
    for directory, number in (("one", 1), ("other", 2), ("one", 3), ("one", 4), ("other", 5)):
        stage.committed_cycles = 0
        state_dir = tmp_path / directory
        live(stage, RuntimeSettings(kafka_bootstrap=kafka.bootstrap, state_dir=state_dir))
        assert stage.number == number


def test_r2_a_local_copy_of_what_the_broker_has_taken_back_is_made_anew(
    kafka: KafkaAddress, tmp_path: Path
) -> None:
    """An acknowledged transaction whose end the broker forgot may be taken back with the next."""
    recreate_topics(kafka.bootstrap, (EVENTS, PROFILE_EVENTS), 2)
    stage = Remembering()
    settings = RuntimeSettings(kafka_bootstrap=kafka.bootstrap, state_dir=tmp_path)
    live(stage, settings)
    store = PartitionStore(tmp_path / f"{stage.name}-{settings.worker}" / "0")
    position = decode_position(store.get(POSITION_KEY))
    ahead = replace(position, cycle=position.cycle + 1)
    store.write({POSITION_KEY: encode(ahead), b"number": b"9"})
    store.close()
    stage.committed_cycles = 0
    live(stage, settings)
    assert stage.number == 2


def live(stage: Ticking, settings: RuntimeSettings) -> None:
    """One life of a worker; the second begins at the position that the first committed."""
    worker = Worker(stage, settings, Health(stage.name))
    worker.join()

    def ticked() -> bool:
        worker.cycle()
        return stage.committed_cycles > 0

    try:
        wait_until(ticked)
    finally:
        worker.close()


def committed(bootstrap: str, stage: str) -> int:
    consumer = Consumer(reader(bootstrap) | {"group.id": f"afflux-{stage}"})
    (position,) = consumer.committed([TopicPartition(EVENTS.name, 0)], timeout=15)
    consumer.close()
    assert isinstance(position.offset, int)
    return position.offset
