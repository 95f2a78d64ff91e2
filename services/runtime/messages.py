"""A message of the client as the stages know it."""

from collections.abc import Iterable
from dataclasses import replace
from typing import cast

from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, Message

from services.runtime.stage import Raw


def raw_of(message: Message) -> Raw:
    kind, timestamp = message.timestamp()
    key, value = message.key(), message.value()
    return Raw(
        message.topic() or "",
        _number(message.partition()),
        _number(message.offset()),
        0 if kind == TIMESTAMP_NOT_AVAILABLE else timestamp,
        key if isinstance(key, bytes) else b"",
        value if isinstance(value, bytes) else b"",
    )


def raw_with_headers(message: Message) -> Raw:
    given = cast(Iterable[tuple[str, object]], message.headers() or ())
    headers = {name: value for name, value in given if isinstance(value, bytes)}
    return replace(raw_of(message), headers=headers)


def _number(value: int | None) -> int:
    if value is None:
        raise TypeError("a consumed message has a partition and an offset")
    return value
