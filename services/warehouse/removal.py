"""A source was removed: what we have of it goes, at the customer's and here."""

import asyncio
import shutil
from collections.abc import Sequence
from typing import Any

import structlog
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from schemas.topics import changelog, changes
from services.runtime.kafka import client
from services.warehouse.checkpoints import Checkpoints
from services.warehouse.domain.source import DebeziumSource, PostgresSource, WarehouseSource
from services.warehouse.postgres.connection import open_session
from services.warehouse.postgres.trouble import AWAY, Trouble
from services.warehouse.settings import WarehouseSettings
from services.warehouse.standing import Standing
from services.warehouse.streams import stage_name

log = structlog.get_logger()

AGAIN_S = 2.0
_GONE = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.GROUP_ID_NOT_FOUND)


async def remove(
    source: WarehouseSource,
    checkpoints: Checkpoints,
    settings: WarehouseSettings,
    standing: Standing,
) -> None:
    """Drop the slot, forget the checkpoints, delete the digests of rows; then there is nothing to
    do until the process is ended. Whatever is away is waited for."""
    if isinstance(source, PostgresSource) and await checkpoints.exist():
        await _drop_slot(source, standing)
    await checkpoints.forget()
    await _forget_rows(source, settings)
    standing.state, standing.reason = "waiting", "removed"
    log.info("source removed", source=source.id)
    await asyncio.Event().wait()


async def _drop_slot(source: PostgresSource, standing: Standing) -> None:
    """A slot that nobody reads fills the customer's disk."""
    trouble = Trouble()
    while True:
        try:
            session = await open_session(source.dsn)
            try:
                await session.execute(
                    "select pg_drop_replication_slot(slot_name) from pg_replication_slots"
                    " where slot_name = $1",
                    source.slot_name,
                )
                return
            finally:
                session.terminate()
        except AWAY as error:
            wait = trouble.met(error)
            standing.state, standing.reason = "waiting", trouble.reason
            log.warning("the slot cannot be dropped yet", reason=trouble.reason, retry_in_s=wait)
            await asyncio.sleep(wait)


async def _forget_rows(source: WarehouseSource, settings: WarehouseSettings) -> None:
    """What the readers kept; their group is empty a session timeout after they ended."""
    own = [changes(source.id).name]
    topics = source.topics if isinstance(source, DebeziumSource) else own
    stages = [stage_name(source.id, topic) for topic in topics]
    admin = AdminClient(client(settings.kafka_bootstrap))
    groups = [f"afflux-{stage}" for stage in stages]
    await _deleted(lambda: admin.delete_consumer_groups(groups))
    kept = [changelog(stage).name for stage in stages]
    if not isinstance(source, DebeziumSource):
        kept += own
    await _deleted(lambda: admin.delete_topics(kept))
    for stage in stages:
        directory = settings.state_dir / f"{stage}-{settings.worker}"
        await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)


async def _deleted(delete: Any) -> None:
    while left := await asyncio.to_thread(_failures, delete):
        log.info("cannot be deleted yet", reasons=left)
        await asyncio.sleep(AGAIN_S)


def _failures(delete: Any) -> Sequence[str]:
    found = []
    for deletion in delete().values():
        try:
            deletion.result(timeout=30)
        except KafkaException as error:
            if error.args[0].code() not in _GONE:
                found.append(error.args[0].name())
    return found
