"""Writes to a topic of the customer's cluster; what it has acknowledged is delivered."""

import asyncio
import json
from contextlib import suppress
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    KafkaError,
    MessageSizeTooLargeError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)

from services.activator.destinations.kafka_topic import Settings
from services.activator.domain.outcomes import Failure, Outcome, Response
from services.activator.domain.requests import Request, as_json

REQUEST_MAX = 1_048_576


class KafkaSink:
    """One idempotent producer, started with the first record."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._producer: AIOKafkaProducer | None = None
        self._one_at_a_time = asyncio.Lock()

    async def close(self) -> None:
        if self._producer is not None:
            await self._producer.stop()

    async def send(self, request: Request) -> Response | Failure:
        """Every record of the request acknowledged by all replicas, or why not."""
        try:
            producer = await self._started()
            sent = [
                await producer.send(
                    request.url,
                    key=record["key"].encode(),
                    value=None if record["value"] is None else as_json(record["value"]),
                    headers=[(name, text.encode()) for name, text in record["headers"].items()],
                )
                for record in json.loads(request.content)
            ]
            await asyncio.gather(*sent)
        except MessageSizeTooLargeError:
            return Failure(Outcome.SPLIT, "record_too_large")
        except (TopicAuthorizationFailedError, UnknownTopicOrPartitionError):
            return Failure(Outcome.CONFIG, "topic_refused")
        except (KafkaError, OSError):
            await self._begin_anew()
            return Failure(Outcome.RETRY, "broker_error")
        return Response(200, {})

    async def _begin_anew(self) -> None:
        """A producer that has failed may be of no more use."""
        async with self._one_at_a_time:
            broken, self._producer = self._producer, None
        if broken is not None:
            with suppress(KafkaError, OSError):
                await broken.stop()

    async def _started(self) -> AIOKafkaProducer:
        async with self._one_at_a_time:
            if self._producer is None:
                self._producer = producer = AIOKafkaProducer(
                    bootstrap_servers=self._settings.bootstrap_servers,
                    acks="all",
                    enable_idempotence=True,
                    compression_type="zstd",
                    linger_ms=20,
                    max_request_size=REQUEST_MAX,
                    **_login(self._settings),
                )
                await producer.start()
            return self._producer


def _login(settings: Settings) -> dict[str, Any]:
    if settings.username is None or settings.password is None:
        return {}
    return {
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "PLAIN",
        "sasl_plain_username": settings.username,
        "sasl_plain_password": settings.password.get_secret_value(),
    }
