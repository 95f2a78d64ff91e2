"""Spark's Thrift server with Delta Lake, in a process of its own."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.local.jars import java
from deploy.local.ports import free_port
from tests.integration.own_environment import running

OPENED = (
    *("java.lang", "java.lang.invoke", "java.lang.reflect", "java.io", "java.net", "java.nio"),
    *("java.util", "java.util.concurrent", "java.util.concurrent.atomic", "jdk.internal.ref"),
    *("sun.nio.ch", "sun.nio.cs", "sun.security.action", "sun.util.calendar"),
)
"""Packages of Java's that Spark wants to look into."""
SETTINGS = {
    "spark.master": "local[2]",
    "spark.app.name": "afflux",
    "spark.ui.enabled": "false",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.sql.catalogImplementation": "in-memory",
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    "spark.sql.shuffle.partitions": "1",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.sources.parallelPartitionDiscovery.parallelism": "2",
    "spark.databricks.delta.snapshotPartitions": "1",
    "spark.databricks.delta.retentionDurationCheck.enabled": "false",
    "spark.hadoop.hive.server2.transport.mode": "http",
    "spark.hadoop.hive.server2.thrift.bind.host": "127.0.0.1",
}
SERVER = "org.apache.spark.sql.hive.thriftserver.HiveThriftServer2"


@contextmanager
def thrift_server(directory: Path) -> Iterator[str]:
    """Its address; tables lie in `warehouse` under the directory."""
    port = free_port()
    settings = {
        **SETTINGS,
        "spark.sql.warehouse.dir": str(directory / "warehouse"),
        "spark.hadoop.hive.server2.thrift.http.port": str(port),
        "java.io.tmpdir": str(directory),
        "derby.stream.error.file": str(directory / "derby.log"),
        "user.timezone": "America/New_York",
    }
    argv = [
        java(os.environ),
        *("-Xmx2g", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"),
        *(f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in OPENED),
        *(f"-D{name}={value}" for name, value in settings.items()),
        *("-cp", _classes(Path(os.environ["AFFLUX_SPARK"])), SERVER),
    ]
    with running(
        argv, directory, lambda: socket.create_connection(("127.0.0.1", port), timeout=5).close()
    ):
        yield f"http://127.0.0.1:{port}/cliservice"


def _classes(home: Path) -> str:
    """What `make databricks` has fetched: Delta's own before what Spark brings."""
    (spark,) = home.glob("lib/python*/site-packages/pyspark/jars")
    return os.pathsep.join((str(home / "delta" / "*"), str(spark / "*")))
