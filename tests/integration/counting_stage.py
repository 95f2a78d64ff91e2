"""A stage for testing the loop alone: counts events per user and emits each with its number."""

import os
from collections.abc import Mapping, Sequence

import structlog

from schemas.records import Event, ProfileEvent
from schemas.topics import EVENTS, PROFILE_EVENTS, Topic
from services.runtime import logs
from services.runtime.health import Health, serve
from services.runtime.main import main as run_service
from services.runtime.outcome import Reject
from services.runtime.processor import run
from services.runtime.settings import RuntimeSettings, read
from services.runtime.stage import Cycle, Received, State

NAME_SETTING = "COUNTING_NAME"
IDLE_EVERY = 20
"""Calls of `idle` between two that count."""

log = structlog.get_logger()


class Counting:
    """State: user → how many events; output: message id and its number as `received_at`.

    The user `idle-<partition>` counts without events, from `idle`. The names of some events are
    orders: `die`, `raise`, `refuse`.
    """

    inputs: Sequence[Topic] = (EVENTS,)

    def __init__(self, name: str) -> None:
        self.name = name
        self._owned: set[int] = set()
        self._calls = 0

    def assigned(self, partition: int, state: State, positions: Mapping[str, int]) -> None:
        self._owned.add(partition)

    def revoked(self, partition: int) -> None:
        self._owned.discard(partition)

    def passes_over(self, topic: str) -> bool:
        return False

    def decide(self, batch: Sequence[Received], cycle: Cycle) -> None:
        for received in batch:
            event = received.record
            if not isinstance(event, Event):
                cycle.reject(received, Reject("wrong_kind", "only events are counted"))
                continue
            match event.name:
                case "die":
                    os._exit(9)
                case "raise":
                    raise ValueError(f"cannot count {event.user_id}")
                case "refuse":
                    cycle.reject(received, Reject("refused", "the event asks for it"))
                case _:
                    count(event.user_id or "", event.message_id, received.partition, cycle)

    def idle(self, cycle: Cycle) -> None:
        self._calls += 1
        if self._calls % IDLE_EVERY == 0:
            for partition in self._owned:
                count(f"idle-{partition}", "", partition, cycle)

    def committed(self) -> None:
        pass


def count(user: str, message_id: str, partition: int, cycle: Cycle) -> None:
    state = cycle.state(partition)
    number = int(state.get(user.encode()) or b"0") + 1
    state.put(user.encode(), str(number).encode())
    out = ProfileEvent(
        profile_id=user,
        message_id=message_id,
        source_id="s",
        type="track",
        timestamp=0,
        received_at=number,
        payload=b"",
    )
    cycle.emit(PROFILE_EVENTS, key=user, record=out)


def main() -> None:
    settings = read(RuntimeSettings)
    logs.configure("counting", settings.log_level)
    run_service("counting", lambda: _serve(settings))


def _serve(settings: RuntimeSettings) -> None:
    health = Health("counting", settings.worker)
    server = serve(health, settings.health_host, settings.health_port)
    log.info("started", worker=settings.worker, health_port=server.port)
    run(Counting(os.environ[NAME_SETTING]), settings, health)


if __name__ == "__main__":
    main()
