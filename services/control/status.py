"""What each service says of itself at `/status`."""

import asyncio
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from urllib.parse import urlsplit

import aiohttp
import msgspec
from msgspec.structs import replace

from services.activator.standing import Standing
from services.ingest.standing import SpoolStanding

TIMEOUT_S = 3.0


class SegmentStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How a segmenter's worker stands with one segment."""

    in_force: int | None
    """The version that decides."""
    is_paused: bool = False
    """Nobody enters or leaves."""
    building: int | None
    """The version whose history is being read."""
    read: float
    """How much of it has been, from 0 to 1."""
    since: int | None
    """The log began only then, Unix milliseconds, and the segment would look further back."""

    def __str__(self) -> str:
        paused = ["paused"] if self.is_paused else []
        return ", ".join([*paused, *self._built()])

    def _built(self) -> list[str]:
        if self.building is None:
            return [] if self.since is None else [f"built from {_day(self.since)}"]
        until = [] if self.in_force is None else [f"{self.in_force} counts until then"]
        return [f"building, {self.read:.0%} read", *until]


class WarehouseStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How the reader of one topic stands."""

    source: str
    topic: str
    state: str
    reason: str | None
    heard_s: float | None
    """Since the source made the newest message that was read."""
    retained_bytes: int | None = None
    """What the source keeps for us and could drop otherwise."""
    behind_versions: int | None = None
    """Of a Delta table: those that were not read yet."""
    read_share: float | None = None
    """Of the snapshot or run under way."""


class ServiceStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One process: whether it works, and which version of each definition it runs."""

    service: str
    worker: int
    ready: bool
    reason: str | None = None
    definitions: dict[str, int] = {}
    segments: dict[str, SegmentStatus] = {}
    events: list[str] | None = None
    """Of a segmenter: the names of the events that ever came; None when they are too many."""
    senders: dict[str, int] = {}
    """Of the senders' supervisor: destination → the port on which its sender answers."""
    readers: dict[str, int] = {}
    """The same of the keeper of warehouse readers: source and topic → port."""
    destination: Standing | None = None
    """Of a sender."""
    warehouse: WarehouseStatus | None = None
    """Of a warehouse reader."""
    spool: SpoolStanding | None = None
    """Of an ingest process."""


class Silent(msgspec.Struct, frozen=True):
    """Nothing, or nothing sensible, answered at this address."""

    url: str
    why: str
    name: str | None = None
    """Of the process that should answer there, where it is known."""
    destination_id: str | None = None
    """Of a sender."""


Answer = ServiceStatus | Silent


def ask_all(urls: Sequence[str]) -> list[Answer]:
    """The answers in the order of the addresses, then those of the senders that they name."""
    return asyncio.run(_ask_all(urls))


async def _ask_all(urls: Sequence[str]) -> list[Answer]:
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        answers = await asyncio.gather(*(_ask(session, url) for url in urls))
        found = zip(urls, answers, strict=True)
        kept = [
            each for url, answer in found for each in _kept(url, answer) if each.url not in urls
        ]
        asked = await asyncio.gather(*(_ask(session, each.url) for each in kept))
        return [
            *answers,
            *(
                replace(silent, why=answer.why) if isinstance(answer, Silent) else answer
                for silent, answer in zip(kept, asked, strict=True)
            ),
        ]


def _kept(url: str, answer: Answer) -> Iterator[Silent]:
    """Where the processes answer that a supervisor keeps, beside itself; as if none did."""
    if isinstance(answer, Silent):
        return
    place = urlsplit(url)
    at = f"{place.scheme}://{place.hostname}"
    for destination_id, port in answer.senders.items():
        if port:
            name = f"sender {destination_id}"
            yield Silent(f"{at}:{port}", "", name=name, destination_id=destination_id)
    for topic, port in answer.readers.items():
        if port:
            yield Silent(f"{at}:{port}", "", name=f"reader {topic}")


async def _ask(session: aiohttp.ClientSession, url: str) -> Answer:
    try:
        async with session.get(f"{url.rstrip('/')}/status") as response:
            if response.status != 200:
                return Silent(url, f"answered {response.status}")
            return msgspec.json.decode(await response.read(), type=ServiceStatus)
    except (aiohttp.ClientError, TimeoutError, OSError):
        return Silent(url, "does not answer")
    except msgspec.MsgspecError:
        return Silent(url, "answers something else than a status")


def _day(instant: int) -> str:
    return f"{datetime.fromtimestamp(instant / 1000, UTC):%Y-%m-%d}"
