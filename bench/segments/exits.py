"""100 000 exits in one minute while others go on: how late they are, and how late live events.

The clock is virtual: each cycle moves it by the CPU that the cycle took, at least by the cadence of
the loop. So the figures are of one worker that has a core to itself, and of no broker.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.run import Refused
from bench.segments.stage import Bench, opened
from bench.segments.workload import START, Happening, happenings, messages, segments
from services.segmenter.settings import SegmenterSettings

DAY = 86_400_000
MINUTE = 60_000
NAMES = 4
FAREWELL = {"event": "Event 99", "within": "1d"}


@dataclass(frozen=True, slots=True)
class Delays:
    """Milliseconds from the instant until it was decided and written."""

    exits: list[float]
    live: list[float]


def delays(directory: Path, *, exits: int, per_second: int) -> Delays:
    """Everybody leaves one after the other within a minute, beside so many live events a second.

    Raises:
        Refused: not everybody left, or not at the exact instant.
    """
    live = list(
        happenings(
            per_second * MINUTE // 1000,
            people=2000,
            names=NAMES,
            per_second=float(per_second),
            since=START + DAY,
        )
    )
    with opened(directory / "exits") as bench:
        bench.define({"leaving": FAREWELL, **segments(NAMES)}, START - 1)
        leaving = [
            Happening(number, 10**6 + number, 99, START + number * MINUTE // exits, 0, 0)
            for number in range(exits)
        ]
        bench.run(messages(leaving), 4000)
        found = _minute(bench, live, {each.profile_id: each.at + DAY for each in leaving})
        if any(segment == "leaving" for segment, _ in bench.members) or len(found.exits) != exits:
            raise Refused("not everybody left; there is no figure")
    return found


def _minute(bench: Bench, live: list[Happening], due: Mapping[str, int]) -> Delays:
    log, found = messages(live), Delays([], [])
    cadence = SegmenterSettings().cadence_ms
    now, read = float(START + DAY - 1000), 0
    while now < START + DAY + MINUTE + 5000:
        until = read
        while until < len(log) and log[until].timestamp <= now and until < read + 4000:
            until += 1
        began = time.process_time()
        outputs = [
            *bench.cycle([message.received() for message in log[read:until]]),
            *bench.tell_time(int(now)),
        ]
        now += max(cadence, 1000 * (time.process_time() - began))
        found.live.extend(now - message.timestamp for message in log[read:until])
        for change in bench.take(outputs):
            if change.segment_id == "leaving":
                if change.occurred_at != due[change.profile_id]:
                    raise Refused("an exit was not at its exact instant; there is no figure")
                found.exits.append(now - change.occurred_at)
        read = until
    return found
