"""A worker that commits one transaction after the other: `<bootstrap> <number>`.

Each has one record, and as its position the number of the transaction.
"""

import itertools
import sys

from confluent_kafka import Consumer, Producer, TopicPartition

from schemas.topics import EVENTS, PROFILE_EVENTS
from services.runtime.kafka import Config, client, reader

CALL_S = 20.0


def producer_config(bootstrap: str, number: int) -> Config:
    return client(bootstrap) | {
        "transactional.id": f"worker-{number}",
        "transaction.timeout.ms": 10_000,
    }


def consumer_config(bootstrap: str, number: int) -> Config:
    return reader(bootstrap) | {"group.id": f"worker-{number}"}


def main(bootstrap: str, number: int) -> None:
    producer = Producer(producer_config(bootstrap, number))
    membership = Consumer(consumer_config(bootstrap, number)).consumer_group_metadata()
    producer.init_transactions(CALL_S)
    for offset in itertools.count():
        producer.begin_transaction()
        producer.produce(PROFILE_EVENTS.name, b"value", str(number).encode())
        producer.send_offsets_to_transaction(
            [TopicPartition(EVENTS.name, 0, offset)], membership, CALL_S
        )
        producer.commit_transaction(CALL_S)
        if offset == 0:
            print("committed", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
