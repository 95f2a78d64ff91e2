"""Writes to a topic of the customer's cluster; what it has acknowledged is delivered."""

import asyncio
import json
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
            return Failure(Outcome.RETRY, "broker_error")
        return Response(200, {})

    async def _started(self) -> AIOKafkaProducer:
        if self._producer is None:
            producer = AIOKafkaProducer(
                bootstrap_servers=self._settings.bootstrap_servers,
                acks="all",
                enable_idempotence=True,
                compression_type="zstd",
                linger_ms=20,
                max_request_size=REQUEST_MAX,
                **_login(self._settings),
            )
            await producer.start()
            self._producer = producer
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
