"""A destination in trouble holds up nobody else: one process and one topic each.

`make bench-activation` measures it with figures; here the bound is loose enough for a busy machine.
"""

import time

from schemas.codec import encode
from schemas.topics import DEAD_LETTERS, DEFINITIONS, activations
from tests.integration.activator_house import (
    Processes,
    Receiver,
    define,
    publish,
    receiving,
    wait_until,
)
from tests.integration.conftest import KafkaAddress
from tests.integration.topics import recreate_topics
from tests.unit.activator.builders import activation

PARTITIONS = 2
CHANGES = 150
"""At a webhook's ceiling of 50 a second they take two seconds, whatever else happens."""
ALL = ("calm", "hangs", "errs", "gone")


def test_s7_the_others_keep_their_pace_while_three_are_in_trouble(
    kafka: KafkaAddress, processes: Processes
) -> None:
    topics = (DEFINITIONS, DEAD_LETTERS, *map(activations, ALL))
    recreate_topics(kafka.bootstrap, topics, PARTITIONS)
    with receiving() as calm, receiving(delay_s=20) as hangs, receiving() as errs:
        errs.refusals = [500] * 10_000
        gone = Receiver(port=9)
        receivers = (calm, hangs, errs, gone)
        for name, receiver in zip(ALL, receivers, strict=True):
            define(kafka.bootstrap, receiver, id=name)
            processes.start("sender", name)
        told(kafka, calm, ("calm",), "warm", count=1)
        alone = told(kafka, calm, ("calm",), "a", count=CHANGES)
        among = told(kafka, calm, ALL, "b", count=CHANGES)
        wait_until(lambda: len(hangs.calls) >= 5, "the hanging one is being called")
        assert len(errs.refusals) < 10_000
    assert among <= 1.5 * alone
    assert len(calm.calls) == 1 + 2 * CHANGES


def told(
    kafka: KafkaAddress, calm: Receiver, names: tuple[str, ...], prefix: str, *, count: int
) -> float:
    """Seconds until the calm one knows of all of these; the others in trouble are fed first."""
    before = len(calm.calls)
    for name in reversed(names):
        records = [(f"{prefix}{n}", encode(activation(f"{prefix}{n}"))) for n in range(count)]
        began = time.monotonic()
        publish(kafka.bootstrap, activations(name), records, PARTITIONS)
    wait_until(lambda: len(calm.calls) - before >= count, "all changes")
    return time.monotonic() - began
