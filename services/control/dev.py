"""`afflux dev`: the whole platform on this machine until Ctrl-C."""

import os
import signal
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from deploy.local.stack import ended_by_signals
from services.control.apply import apply, valid_documents
from services.control.local import DATA_DIR, remembered
from services.control.platform import Platform, Ports, running_platform
from services.control.settings import ControlSettings


def develop(settings: ControlSettings, workspace: Path | None) -> None:
    """Check the workspace, start everything, apply it, and wait for Ctrl-C; then end everything.

    Raises:
        Refused: something is wrong with the workspace; nothing was started.
        LocalStackError, PlatformFailed: the platform did not come up; nothing is left running.
    """
    documents = () if workspace is None else valid_documents(workspace)
    ports = Ports(
        kafka=settings.kafka_port,
        postgres=settings.postgres_port,
        ingest=settings.ingest_port,
        first_health=settings.first_health_port,
    )
    with ended_by_signals(), suppress(KeyboardInterrupt):
        print("starting Kafka, PostgreSQL and the services; Ctrl-C ends them", flush=True)
        running = running_platform(
            DATA_DIR, ports=ports, partitions=settings.partitions, environment=os.environ
        )
        with running as platform, remembered(platform.dsn):
            if workspace is not None:
                plan = apply(platform.bootstrap, documents, partitions=settings.partitions)
                print("\n".join(plan.lines() or [f"{workspace}: nothing to change"]))
            print("\n".join(addresses(platform)), flush=True)
            signal.pause()


def addresses(platform: Platform) -> list[str]:
    """What a person needs to know once it runs."""
    database = urlsplit(platform.dsn)
    return [
        *(f"events   {url}/v1/batch" for url in platform.ingest_urls),
        f"Kafka    {platform.bootstrap}",
        f"Postgres {database.hostname}:{database.port or 5432}{database.path}",
        *(f"{p.name:<12} {p.url}/status, /metrics" for p in platform.processes),
        f"logs     {platform.data_dir / 'logs'}",
        "ready",
    ]
