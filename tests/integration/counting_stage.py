"""A stage for testing the loop alone: counts events per user and emits each with its number."""

import sys
from collections.abc import Mapping, Sequence

from schemas.records import Event, ProfileEvent
from schemas.topics import EVENTS, PROFILE_EVENTS, Topic
from services.runtime import logs
from services.runtime.health import Health, serve
from services.runtime.outcome import Reject
from services.runtime.processor import run
from services.runtime.settings import RuntimeSettings, read
from services.runtime.stage import Cycle, Received, State


class Counting:
    """State: user → how many events; output: message id and its number as `received_at`."""

    name = "counting"
    inputs: Sequence[Topic] = (EVENTS,)

    def assigned(self, partition: int, state: State, positions: Mapping[str, int]) -> None:
        pass

    def revoked(self, partition: int) -> None:
        pass

    def decide(self, batch: Sequence[Received], cycle: Cycle) -> None:
        for received in batch:
            event = received.record
            if not isinstance(event, Event):
                cycle.reject(received, Reject("wrong_kind", "only events are counted"))
                continue
            if event.name == "die":
                sys.exit(9)
            self._count(event, received.partition, cycle)

    def _count(self, event: Event, partition: int, cycle: Cycle) -> None:
        user = event.user_id or ""
        state = cycle.state(partition)
        number = int(state.get(user.encode()) or b"0") + 1
        state.put(user.encode(), str(number).encode())
        out = ProfileEvent(
            profile_id=user,
            message_id=event.message_id,
            source_id=event.source_id,
            type=event.type,
            timestamp=event.timestamp,
            received_at=number,
            payload=b"",
        )
        cycle.emit(PROFILE_EVENTS, key=user, record=out)

    def idle(self, cycle: Cycle) -> None:
        pass

    def committed(self) -> None:
        pass


def main() -> None:
    settings = read(RuntimeSettings)
    logs.configure("counting", settings.log_level)
    health = Health("counting", settings.worker)
    serve(health, settings.health_host, settings.health_port)
    run(Counting(), settings, health)


if __name__ == "__main__":
    main()
