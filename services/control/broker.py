"""The broker, if it answers within a bounded time; commands do not wait for ever."""

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from services.runtime.kafka import client

PATIENCE_S = 5.0


class Unreachable(ConnectionError):
    """No broker answers; the message says where and what to do."""


def broker(bootstrap: str) -> AdminClient:
    """A client of a broker that has just answered.

    Raises:
        Unreachable: it did not answer in time.
    """
    admin = AdminClient(client(bootstrap))
    try:
        admin.list_topics(timeout=PATIENCE_S)
    except KafkaException as error:
        raise Unreachable(
            f"no Kafka answers at {bootstrap}: start it with `afflux dev`, "
            "or set AFFLUX_KAFKA_BOOTSTRAP"
        ) from error
    return admin
