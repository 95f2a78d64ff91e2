"""Kafka and PostgreSQL in containers, for machines with a Docker engine but without Java."""

import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import urlsplit

from deploy.local.errors import ServerFailed
from deploy.local.jars import VERSION
from deploy.local.kafka import has_broker
from deploy.local.ports import HOST, free_port

KAFKA_IMAGE = f"apache/kafka:{VERSION}"
POSTGRES_IMAGE = "postgres:18"
PATIENCE_SECONDS = 120.0


def engine_answers(environment: Mapping[str, str]) -> bool:
    """Whether something listens where Docker's client would look for its engine."""
    where = urlsplit(environment.get("DOCKER_HOST") or "unix:///var/run/docker.sock")
    try:
        if where.scheme == "unix":
            with socket.socket(socket.AF_UNIX) as engine:
                engine.settimeout(2)
                engine.connect(where.path)
        else:
            socket.create_connection((where.hostname or "", where.port or 2375), 2).close()
    except OSError:
        return False
    return True


@contextmanager
def kafka() -> Iterator[str]:
    from testcontainers.core.container import DockerContainer  # noqa: PLC0415

    port = free_port()
    settings = {
        "KAFKA_NODE_ID": "1",
        "KAFKA_PROCESS_ROLES": "broker,controller",
        "KAFKA_LISTENERS": "PLAINTEXT://:9092,CONTROLLER://:9093",
        "KAFKA_ADVERTISED_LISTENERS": f"PLAINTEXT://{HOST}:{port}",
        "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
        "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
        "KAFKA_SHARE_COORDINATOR_STATE_TOPIC_REPLICATION_FACTOR": "1",
        "KAFKA_SHARE_COORDINATOR_STATE_TOPIC_MIN_ISR": "1",
        "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
        "KAFKA_MESSAGE_MAX_BYTES": str(4 * 1024 * 1024),
    }
    container = DockerContainer(KAFKA_IMAGE).with_bind_ports(9092, port)
    for name, value in settings.items():
        container = container.with_env(name, value)
    with container:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not has_broker(f"{HOST}:{port}"):
            if time.monotonic() > deadline:
                raise ServerFailed(f"{KAFKA_IMAGE} did not answer in {PATIENCE_SECONDS:.0f} s")
        yield f"{HOST}:{port}"


@contextmanager
def postgres() -> Iterator[str]:
    from testcontainers.community.postgres import PostgresContainer  # noqa: PLC0415

    server = PostgresContainer(POSTGRES_IMAGE, driver=None)
    with server.with_command("postgres -c wal_level=logical -c max_connections=200"):
        yield server.get_connection_url()
