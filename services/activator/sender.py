"""The sender of one destination: a Faust app that hands batches to the deliverer.

What was handed over is sent or durable in the ledger before it is acknowledged. An error ends the
process before the acknowledgement; its successor reads the batch again, and the ledger makes the
repeat harmless.
"""

import asyncio
import os
import sys
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any

import faust
import structlog

from schemas.codec import Undecodable, decode_as, encode
from schemas.records import Activation, DeadLetter
from schemas.topics import DEAD_LETTERS, Topic
from services.activator.collecting import Taking, collected
from services.activator.committed import CommittedTransport
from services.activator.domain.change import Change, change_of
from services.activator.handlers import Deliverer
from services.activator.settings import ActivatorSettings
from services.runtime import metrics as runtime_metrics
from services.runtime.delivery import RejectLimit, dead_letter
from services.runtime.outcome import Reject
from services.runtime.stage import Raw

log = structlog.get_logger()

STAGE = "sender"
DUE_EVERY_S = 0.25
LOOK_EVERY_S = 0.5
TRIM_EVERY_S = 3600.0
LAG_EVERY_S = 0.5
RUNS_BUFFERED = 8
RUN_WITHIN_S = 1.0


def faust_app(destination_id: str, settings: ActivatorSettings, taking: Taking) -> Any:
    """The app of one destination; topics are never made by Faust, there is no web server.

    No run is longer than a batch and few of them wait, so that a slow platform leaves the records
    with the broker, and the client is seen to poll.
    """
    session_s = settings.session_timeout_ms / 1000
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    app = faust.App(
        f"afflux-sender-{destination_id}",
        broker=[f"aiokafka://{server}" for server in settings.kafka_bootstrap.split(",")],
        key_serializer="raw",
        value_serializer="raw",
        datadir=str(settings.state_dir / "faust"),
        web_enabled=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        consumer_group_instance_id=f"sender-{destination_id}",
        consumer_auto_offset_reset="earliest",
        broker_session_timeout=session_s,
        broker_heartbeat_interval=session_s / 4,
        broker_commit_interval=1.0,
        broker_max_poll_records=taking.most,
        stream_buffer_maxsize=RUNS_BUFFERED,
        stream_wait_empty=False,
    )
    app.transport = CommittedTransport(app.conf.broker_consumer, app, loop=app.loop)
    return app


class FaustDeadLetters:
    """Writes dead letters through the app's producer."""

    def __init__(self, app: Any) -> None:
        self._topic = app.topic(DEAD_LETTERS.name, value_type=bytes, value_serializer="raw")

    async def put(self, letter: DeadLetter) -> None:
        written = await self._topic.send(key=letter.stage.encode(), value=encode(letter))
        await written
        runtime_metrics.DEAD_LETTERS.labels(STAGE, letter.code).inc()


class Sender:
    """Runs the app, the later attempts and the trimming of the log until it is stopped."""

    def __init__(
        self,
        app: Any,
        topic: Topic,
        *,
        deliverer: Deliverer,
        dead_letters: FaustDeadLetters,
        settings: ActivatorSettings,
        taking: Taking,
    ) -> None:
        self._app = app
        self._deliverer = deliverer
        self._dead_letters = dead_letters
        self._settings = settings
        self._taking = taking
        self._rejects = RejectLimit()
        self._under_way = asyncio.Lock()
        source = app.topic(topic.name, value_type=bytes, value_serializer="raw")
        app.agent(source, name=STAGE, concurrency=1)(self._deliver)

    async def run(self, stopping: asyncio.Event, ready: Callable[[], None]) -> None:
        """Deliver until `stopping`; what was handled is committed on the way out."""
        await self._app.start()
        ready()
        tasks = [
            asyncio.create_task(ending_on_error(self._retry_due())),
            asyncio.create_task(ending_on_error(self._look_after())),
            asyncio.create_task(ending_on_error(self._trim_log())),
            asyncio.create_task(ending_on_error(self._show_lag())),
        ]
        await stopping.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        async with self._under_way:
            await self._app.stop()

    async def _deliver(self, stream: Any) -> None:
        await ending_on_error(self._batches(_runs(stream)))

    async def _batches(self, runs: AsyncIterator[Sequence[Any]]) -> None:
        async for records in collected(runs, self._taking):
            async with self._under_way:
                await self._deliverer.take(await self._decoded(records))
                self._app.consumer.handled(records)

    async def _decoded(self, records: Sequence[Any]) -> Sequence[Change]:
        """The changes of a batch; what is none goes to the dead letters."""
        changes: list[Change] = []
        for record in records:
            value = record.value or b""
            try:
                changes.append(change_of(decode_as(Activation, value), value))
            except Undecodable as error:
                raw = _raw(record, value)
                letter = dead_letter(STAGE, raw, Reject("undecodable", str(error)))
                await self._dead_letters.put(letter)
                self._rejects.rejected()
        self._rejects.handled(len(changes))
        return changes

    async def _retry_due(self) -> None:
        while True:
            tried = await self._deliverer.retry_due()
            if not tried or self._deliverer.is_sparing:
                await asyncio.sleep(DUE_EVERY_S)

    async def _look_after(self) -> None:
        """Pauses that end, jobs that are asked about, memberships that run out."""
        while True:
            await self._deliverer.look_after_pause()
            await self._deliverer.poll_jobs()
            await self._deliverer.renew()
            await asyncio.sleep(LOOK_EVERY_S)

    async def _trim_log(self) -> None:
        while True:
            kept = timedelta(days=self._settings.delivery_log_days)
            await self._deliverer.trim_log(kept)
            await asyncio.sleep(TRIM_EVERY_S)

    async def _show_lag(self) -> None:
        while True:
            await asyncio.sleep(LAG_EVERY_S)
            consumer = self._app.consumer
            records = consumer.lag_records
            runtime_metrics.LAG_RECORDS.labels(STAGE).set(records)
            age = time.time() - consumer.newest if records else 0.0
            runtime_metrics.LAG_SECONDS.labels(STAGE).set(age)


async def _runs(stream: Any) -> AsyncIterator[Sequence[Any]]:
    """The records of each message. Faust's own acknowledgements decide nothing."""
    async for events in stream.noack_take(1, within=RUN_WITHIN_S):
        for event in events:
            await stream.ack(event)
            yield event.message.run


def _raw(record: Any, value: bytes) -> Raw:
    key = record.key or b""
    return Raw(record.topic, record.partition, record.offset, record.timestamp, key, value)


async def ending_on_error(work: Awaitable[None]) -> None:
    """Faust would start a failed agent again and go on behind its batch; so the process ends."""
    try:
        await work
    except Exception as error:
        log.error(
            "stopped",
            error=type(error).__name__,
            traceback=traceback.format_tb(error.__traceback__),
        )
        sys.stdout.flush()
        os._exit(1)
