"""What each service says of itself at `/status`, side by side."""

import asyncio
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import msgspec
from msgspec.structs import replace
from rich.table import Table

from services.activator.standing import Standing
from services.ingest.standing import SpoolStanding

TIMEOUT_S = 3.0
TRY = "`afflux destination test {}` may say why"
MEGABYTE = 1024 * 1024


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


def status_table(answers: Sequence[Answer]) -> Table:
    """One row a process. A version that others are ahead of is followed by theirs."""
    newest = _newest(answers)
    table = Table("service", "worker", "ready", "definitions")
    for answer in answers:
        match answer:
            case Silent(url, why, name):
                table.add_row(name or url, "", f"no: {why}", "")
            case ServiceStatus():
                ready = "yes" if answer.ready else f"no: {answer.reason}"
                versions = _versions(answer, newest)
                table.add_row(_name(answer), str(answer.worker), ready, versions)
    return table


def destinations_table(answers: Sequence[Answer]) -> Table:
    """One row a destination: whether it works, and if not why and since or until when."""
    table = Table("destination", "state", "changes waiting", "last trouble")
    for answer in answers:
        if isinstance(answer, ServiceStatus) and (stands := answer.destination) is not None:
            table.add_row(stands.id, _state(stands), str(stands.waiting), _trouble(stands))
        if isinstance(answer, Silent) and (own := answer.destination_id) is not None:
            table.add_row(own, f"its sender {answer.why}: {TRY.format(own)}", "", "")
    return table


def mending(answers: Sequence[Answer]) -> list[str]:
    """What each pause of a destination means, and what ends it."""
    stand = [a.destination for a in answers if isinstance(a, ServiceStatus) and a.destination]
    return [
        f"{each.id} is paused. {each.meaning} Then `afflux resume {each.id}`."
        for each in stand
        if each.meaning is not None
    ]


def warehouse_table(answers: Sequence[Answer]) -> Table:
    """One row a topic: what its reader does, and how old the newest message is."""
    table = Table("warehouse source", "topic", "state", "newest message", "held back")
    for answer in answers:
        if isinstance(answer, ServiceStatus) and (stands := answer.warehouse) is not None:
            state = stands.state + (f": {stands.reason}" if stands.reason is not None else "")
            state += f", {stands.read_share:.0%} read" if stands.read_share is not None else ""
            age = "none yet" if stands.heard_s is None else f"{stands.heard_s:.0f} s ago"
            table.add_row(stands.source, stands.topic, state, age, _held_back(stands))
    return table


def _held_back(stands: WarehouseStatus) -> str:
    if stands.behind_versions is not None:
        return f"{stands.behind_versions} versions"
    return "" if stands.retained_bytes is None else f"{stands.retained_bytes / 1e6:.1f} MB"


def spool_table(answers: Sequence[Answer]) -> Table:
    """One row an ingest process: where its events go, and what waits on its disk for how long."""
    table = Table("ingest", "events go to", "waiting", "of the spool", "oldest")
    for answer in answers:
        if isinstance(answer, ServiceStatus) and (stands := answer.spool) is not None:
            table.add_row(
                f"worker {answer.worker}",
                _way(stands),
                str(stands.records),
                _filled(stands),
                f"{stands.age_s:.0f} s ago" if stands.records else "",
            )
    return table


def _way(stands: SpoolStanding) -> str:
    if stands.is_direct:
        return "the broker"
    return "the spool" if stands.limit_bytes else "nowhere: refused"


def _filled(stands: SpoolStanding) -> str:
    if not stands.limit_bytes:
        return "none"
    size, limit = stands.bytes / MEGABYTE, stands.limit_bytes / MEGABYTE
    return f"{size:.1f} of {limit:.0f} MB ({stands.bytes / stands.limit_bytes:.0%})"


def _state(stands: Standing) -> str:
    said = stands.state + (f": {stands.reason}" if stands.reason is not None else "")
    said += f", since {_moment(stands.since)}" if stands.since is not None else ""
    return said + (f", until {_moment(stands.until)}" if stands.until is not None else "")


def _trouble(stands: Standing) -> str:
    last = stands.last_trouble
    return "" if last is None else f"{last.outcome}: {last.reason}, {_moment(last.at)}"


def _newest(answers: Sequence[Answer]) -> dict[str, int]:
    newest: dict[str, Any] = {}
    for answer in answers:
        if isinstance(answer, ServiceStatus):
            for key, version in answer.definitions.items():
                newest[key] = max(version, newest.get(key, 0))
    return newest


def _name(answer: ServiceStatus) -> str:
    """A sender is named by its destination."""
    stands = answer.destination
    return answer.service if stands is None else f"{answer.service} {stands.id}"


def _versions(answer: ServiceStatus, newest: dict[str, int]) -> str:
    """Of all that it knows; of a sender, of its destination."""
    lines = []
    own = f"destination:{answer.destination.id}" if answer.destination is not None else None
    for key, version in sorted(answer.definitions.items()):
        if own is not None and key != own:
            continue
        notes = [f"newest {newest[key]}"] if newest[key] > version else []
        segment = answer.segments.get(key.removeprefix("segment:"))
        notes += [str(segment)] if segment is not None and key.startswith("segment:") else []
        said = "; ".join(note for note in notes if note)
        lines.append(f"{key} {version}" + (f" ({said})" if said else ""))
    return "\n".join(lines)


def _moment(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"


def _day(instant: int) -> str:
    return f"{datetime.fromtimestamp(instant / 1000, UTC):%Y-%m-%d}"
