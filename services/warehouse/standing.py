"""How one process of a source stands, for `afflux status`."""

import time
from dataclasses import dataclass
from typing import Any, Literal

State = Literal["checking", "snapshotting", "streaming", "waiting", "paused", "blocked"]
"""`waiting`: for the next run of a schedule, or for something that is away and will be back.
`paused` by a person."""


@dataclass(slots=True)
class Standing:
    """Changed by whoever works, read by whoever asks."""

    source: str
    topic: str
    """What is written or read."""
    state: State = "checking"
    reason: str | None = None
    """Why it waits or is blocked."""
    heard_at: float = 0.0
    """When the newest of what was read happened at the source, Unix seconds."""
    retained_bytes: int | None = None
    """What the source keeps for us and could drop otherwise."""
    behind_versions: int | None = None
    """Of Delta tables: those that are there and were not read yet."""
    read_share: float | None = None
    """Of the snapshot or run under way, from 0 to 1."""

    def status(self) -> dict[str, Any]:
        said: dict[str, Any] = {
            "source": self.source,
            "topic": self.topic,
            "state": self.state,
            "reason": self.reason,
            "heard_s": round(time.time() - self.heard_at) if self.heard_at else None,
        }
        more = {
            "retained_bytes": self.retained_bytes,
            "behind_versions": self.behind_versions,
            "read_share": self.read_share,
        }
        return {"warehouse": said | {name: value for name, value in more.items() if value}}
