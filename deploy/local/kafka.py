"""Apache Kafka as a child process: one KRaft node that is broker and controller."""

import os
import shutil
import signal
import subprocess
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from deploy.local.child import Child, Command
from deploy.local.directory import owned
from deploy.local.errors import ServerFailed
from deploy.local.jars import java, kafka_jars
from deploy.local.ports import HOST, answers, free_port, port_named_or_free

PORT_SETTING = "AFFLUX_KAFKA_PORT"
LOG4J = Path(__file__).with_name("log4j2.properties")


class Kafka:
    """A broker that can be stopped, paused and brought back on the same port with its data."""

    def __init__(self, directory: Path, port: int, *, java: str, jars: Path) -> None:
        self.bootstrap = f"{HOST}:{port}"
        self._port = port
        self._directory = directory
        self._jvm = (java, "-cp", f"{jars}/*", f"-Dlog4j2.configurationFile={LOG4J.as_uri()}")
        self._child: Child | None = None

    @property
    def pid(self) -> int:
        return self._running.pid

    @property
    def is_running(self) -> bool:
        return self._child is not None

    def start(self) -> None:
        """Returns when it answers."""
        properties = self._directory / "server.properties"
        properties.write_text(_properties(self._directory / "data", self._port, free_port()))
        if not (self._directory / "formatted").exists():
            self._format(properties)
        arguments = (
            *self._jvm,
            f"-Dafflux.log={self._directory / 'kafka.log'}",
            "-Xmx512m",
            "kafka.Kafka",
            str(properties),
        )
        self._child = Child(
            Command(
                "Kafka",
                arguments,
                self._directory,
                stop_signal=signal.SIGTERM,
                orphan_signal=signal.SIGKILL,
            )
        )
        self._child.wait_until(lambda: answers(self._port))
        self._child.wait_until(lambda: has_broker(self.bootstrap))

    def stop(self) -> None:
        """Ends it in good order; does nothing when it is not running."""
        if self._child is not None:
            self._child.stop()
            self._child = None

    def kill(self) -> None:
        """Ends it as a power cut would."""
        self._running.kill()
        self._child = None

    def pause(self) -> None:
        """Freezes it: connections stay open and nothing answers."""
        self._running.pause()

    def resume(self) -> None:
        self._running.resume()

    @property
    def _running(self) -> Child:
        if self._child is None:
            raise ServerFailed("Kafka is not running")
        return self._child

    def _format(self, properties: Path) -> None:
        """Noted when it is complete: what was interrupted is begun anew."""
        shutil.rmtree(self._directory / "data", ignore_errors=True)
        cluster = urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
        log = f"-Dafflux.log={self._directory / 'format.log'}"
        ran = subprocess.run(  # noqa: S603 (our own command line)
            [
                *(
                    *self._jvm,
                    log,
                    "-XX:TieredStopAtLevel=1",
                    "-XX:+UseSerialGC",
                    "kafka.tools.StorageTool",
                ),
                *("format", "--standalone", f"--cluster-id={cluster}", f"--config={properties}"),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        if ran.returncode != 0:
            raise ServerFailed(f"Kafka's storage could not be formatted: {ran.stderr.strip()}")
        (self._directory / "formatted").touch()


@contextmanager
def kafka_server(
    data_dir: Path, port: int | None = None, *, environment: Mapping[str, str] = os.environ
) -> Iterator[Kafka]:
    """A running broker for the length of the block; `data_dir` keeps its data for the next time."""
    with owned(data_dir) as directory:
        port = port_named_or_free(port, setting=PORT_SETTING)
        kafka = Kafka(directory, port, java=java(environment), jars=kafka_jars(environment))
        try:
            kafka.start()
            yield kafka
        finally:
            kafka.stop()


def has_broker(bootstrap: str) -> bool:
    client = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    try:
        return bool(client.list_topics(timeout=5).brokers)
    except KafkaException:
        return False


def _properties(data: Path, port: int, controller_port: int) -> str:
    """What one node needs; what is not named keeps the broker's default."""
    settings = {
        "process.roles": "broker,controller",
        "node.id": 1,
        "listeners": f"PLAINTEXT://{HOST}:{port},CONTROLLER://{HOST}:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{port}",
        "controller.listener.names": "CONTROLLER",
        "controller.quorum.bootstrap.servers": f"{HOST}:{controller_port}",
        "log.dirs": data,
        "auto.create.topics.enable": "false",
        "default.replication.factor": 1,
        "min.insync.replicas": 1,
        "offsets.topic.replication.factor": 1,
        "offsets.topic.num.partitions": 10,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "transaction.state.log.num.partitions": 10,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        "share.coordinator.state.topic.num.partitions": 1,
        "group.initial.rebalance.delay.ms": 0,
        # Events of 1 MB, and dead letters that wrap them, pass.
        "message.max.bytes": 4 * 1024 * 1024,
    }
    return "".join(f"{key}={value}\n" for key, value in settings.items())
