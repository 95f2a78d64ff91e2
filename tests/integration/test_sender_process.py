"""The sender as a process, on the real broker: killed, disturbed, reconfigured; nothing is lost."""

import subprocess

from schemas.codec import encode
from schemas.records import DeadLetter
from schemas.topics import DEAD_LETTERS, DEFINITIONS, activations
from tests.integration.activator_house import (
    Processes,
    Receiver,
    define,
    publish,
    read_all,
    receiving,
    wait_until,
)
from tests.integration.conftest import KafkaAddress
from tests.integration.topics import recreate_topics
from tests.unit.activator.builders import activation

PARTITIONS = 3


def prepared(kafka: KafkaAddress, destination_id: str) -> None:
    topics = (DEFINITIONS, DEAD_LETTERS, activations(destination_id))
    recreate_topics(kafka.bootstrap, topics, PARTITIONS)


def send(kafka: KafkaAddress, destination: str, version: int, *, member: bool, count: int) -> None:
    records = [
        (f"p{i}", encode(activation(f"p{i}", member=member, version=version))) for i in range(count)
    ]
    publish(kafka.bootstrap, activations(destination), records, PARTITIONS)


def test_s6_1_sigkill_midway_loses_nothing_and_repeats_under_the_same_id(
    kafka: KafkaAddress, processes: Processes
) -> None:
    prepared(kafka, "killed")
    with receiving(delay_s=0.05) as receiver:
        define(kafka.bootstrap, receiver, id="killed")
        send(kafka, "killed", 1, member=True, count=120)
        for calls in (15, 60):
            sender = processes.start("sender", "killed", AFFLUX_SENDER_BATCH="30")
            reached(receiver, calls)
            sender.kill()
            sender.wait()
        processes.start("sender", "killed", AFFLUX_SENDER_BATCH="30")
        send(kafka, "killed", 2, member=False, count=40)
        everybody = {f"p{i}" for i in range(40, 120)}
        wait_until(lambda: receiver.members() == everybody, "the audience is complete")
        assert all(len(ids) == 1 for ids in receiver.ids_of_each_change().values())


def test_who_is_told_to_end_finishes_the_batch_and_a_successor_repeats_nothing(
    kafka: KafkaAddress, processes: Processes
) -> None:
    prepared(kafka, "ended")
    with receiving(delay_s=0.01) as receiver:
        define(kafka.bootstrap, receiver, id="ended")
        send(kafka, "ended", 1, member=True, count=120)
        sender = processes.start("sender", "ended", AFFLUX_SENDER_BATCH="30")
        reached(receiver, 35)
        stopped(sender)
        processes.start("sender", "ended", AFFLUX_SENDER_BATCH="30")
        reached(receiver, 120)
        assert receiver.members() == {f"p{i}" for i in range(120)}
        assert len(receiver.calls) == 120


def test_a_record_that_cannot_be_read_is_put_aside_and_its_neighbours_go_on(
    kafka: KafkaAddress, processes: Processes
) -> None:
    prepared(kafka, "garbled")
    with receiving() as receiver:
        define(kafka.bootstrap, receiver, id="garbled")
        good = encode(activation("good"))
        values = [("good", b"\x00\x00garbage"), ("good", good)]
        publish(kafka.bootstrap, activations("garbled"), values, PARTITIONS)
        sender = processes.start("sender", "garbled")
        wait_until(lambda: receiver.members() == {"good"}, "the good one arrives")
        stopped(sender)
    (letter,) = read_all(kafka.bootstrap, DEAD_LETTERS, PARTITIONS)
    assert isinstance(letter, DeadLetter)
    assert (letter.code, letter.stage, letter.offset) == ("undecodable", "sender", 0)
    assert letter.raw == b"\x00\x00garbage"


def test_a_new_definition_is_followed_and_a_disabled_destination_ends(
    kafka: KafkaAddress, processes: Processes
) -> None:
    prepared(kafka, "moved")
    with receiving() as first, receiving() as second:
        define(kafka.bootstrap, first, id="moved")
        sender = processes.start("sender", "moved")
        send(kafka, "moved", 1, member=True, count=1)
        wait_until(lambda: first.members() == {"p0"}, "the first address is called")
        define(kafka.bootstrap, second, id="moved", version=2)
        version = 1

        def second_is_called() -> bool:
            nonlocal version
            version += 2
            send(kafka, "moved", version, member=True, count=1)
            return bool(second.calls)

        wait_until(second_is_called, "the second address is called")
        define(kafka.bootstrap, second, id="moved", version=3, enabled=False)
        assert sender.wait(30) == 0


def reached(receiver: Receiver, calls: int) -> None:
    wait_until(lambda: len(receiver.calls) >= calls, f"{calls} calls")


def stopped(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM ends it cleanly."""
    process.terminate()
    assert process.wait(30) == 0
