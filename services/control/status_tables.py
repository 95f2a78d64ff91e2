"""What the services say of themselves, side by side: the tables of `afflux status`."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from rich.table import Table

from services.activator.standing import Standing
from services.control.status import Answer, SegmentStatus, ServiceStatus, Silent, WarehouseStatus
from services.ingest.standing import SpoolStanding

SEGMENT = "segment"
TRY = "`afflux destination test {}` may say why"
MEGABYTE = 1024 * 1024


def status_table(answers: Sequence[Answer]) -> Table:
    """One row a process: which definitions it runs, and where others are ahead of it."""
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


def segments_table(answers: Sequence[Answer]) -> Table:
    """One row a segment: its newest version, and how far each worker is with it."""
    table = Table("segment", "version", "state")
    workers = [each for each in answers if isinstance(each, ServiceStatus) and each.segments]
    for key, version in sorted(_newest(workers).items()):
        kind, _, name = key.partition(":")
        if kind == SEGMENT:
            stands = {each.worker: each.segments[name] for each in workers if name in each.segments}
            table.add_row(name, str(version), _together(stands))
    return table


def _together(stands: Mapping[int, SegmentStatus]) -> str:
    """Once where all workers say the same."""
    said = {worker: str(each) or "live" for worker, each in stands.items()}
    if len(set(said.values())) == 1:
        return next(iter(said.values()))
    return "\n".join(f"worker {worker}: {each}" for worker, each in sorted(said.items()))


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


def _newest(answers: Sequence[Answer]) -> Mapping[str, int]:
    newest: dict[str, int] = {}
    for answer in answers:
        if isinstance(answer, ServiceStatus):
            for key, version in answer.definitions.items():
                newest[key] = max(version, newest.get(key, 0))
    return newest


def _name(answer: ServiceStatus) -> str:
    """A sender is named by its destination."""
    stands = answer.destination
    return answer.service if stands is None else f"{answer.service} {stands.id}"


def _versions(answer: ServiceStatus, newest: Mapping[str, int]) -> str:
    """How many it knows, and each that is newer elsewhere; of a sender, its destination's."""
    if answer.destination is not None:
        own = f"destination:{answer.destination.id}"
        return f"{own} {answer.definitions[own]}" if own in answer.definitions else ""
    behind = [
        f"{key} {version} (newest {newest[key]})"
        for key, version in sorted(answer.definitions.items())
        if newest[key] > version
    ]
    return "\n".join([str(len(answer.definitions)), *behind])


def _moment(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"
