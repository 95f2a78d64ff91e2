"""What a change does to what is kept of its row, and the events that come of it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec

from schemas.records import Event
from services.runtime.stage import Blocked
from services.warehouse.domain.canonical import Digests
from services.warehouse.domain.change import Change
from services.warehouse.domain.mapping import (
    Place,
    events_of,
    events_of_forgotten,
    mapped,
    unlink_of,
)
from services.warehouse.domain.model import Model
from services.warehouse.domain.rows import (
    BEHIND,
    FUTURE_MS,
    TOLD_STEP_MS,
    Known,
    Progress,
    judge,
)
from services.warehouse.store import Rows

IsGone = Callable[[Known], bool]
Keyed = tuple[str, Event]
"""An event with the row that it is about, which keeps a row's changes in one partition."""

FIRST = "0"
"""A position before every other of its epoch."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What came of a change; `skipped` says why nothing did."""

    events: tuple[Keyed, ...] = ()
    skipped: str | None = None


def advanced(progress: Progress, change: Change, *, received_at: int) -> Progress:
    """A full snapshot opens an epoch; its end, or the first change after it, closes it."""
    found = _moved(progress, change)
    if not found.told < change.committed_at <= received_at + FUTURE_MS:
        return found
    return msgspec.structs.replace(found, told=change.committed_at + TOLD_STEP_MS)


def _moved(progress: Progress, change: Change) -> Progress:
    reads = change.snapshot in ("first", "read")
    if change.epoch is not None:
        if change.epoch > progress.epoch:
            return _opened(progress, change.epoch, snapshotting=reads)
        return msgspec.structs.replace(progress, snapshotting=reads)
    if reads and (change.snapshot == "first" or not progress.snapshotting):
        return _opened(progress, progress.epoch + 1, snapshotting=True)
    closes = not reads and change.snapshot == "none" and change.op != "read"
    return msgspec.structs.replace(
        progress,
        epoch=progress.epoch or 1,
        snapshotting=progress.snapshotting and not closes,
    )


def _opened(progress: Progress, epoch: int, *, snapshotting: bool) -> Progress:
    return Progress(epoch, snapshotting, told=progress.told, floor=progress.told)


def take(change: Change, model: Model, rows: Rows, *, digests: Digests, received_at: int) -> Taken:
    """Apply the change of one row, if it is news.

    Raises:
        Undecodable: a related row came without some of its columns.
        Blocked: the row is gone, and nobody can tell whose it was.
    """
    progress = rows.progress(change.relation)
    key = change.key_digest or digests.key(change.key)
    known = rows.get(model.id, key)
    position = change.position
    if not position:
        if known is None:
            return Taken(skipped="tombstone")
        position = known.position + BEHIND
    if position <= progress.cut:
        return Taken(skipped="stale")
    verdict = judge(known, progress.epoch, position)
    if verdict != "apply":
        return Taken(skipped=verdict)
    place = _place(change, key, progress, position, received_at=received_at)
    if change.op == "delete":
        return _deleted(change, model, rows, known, place)
    return _present(change, model, rows, known, place, digests=digests)


def forget_older_epochs(
    models: Sequence[Model], rows: Rows, change: Change, *, share: float, received_at: int
) -> list[Keyed]:
    """The snapshot of this partition is complete: rows that it did not show are gone.

    Raises:
        Blocked: too many are gone, or nobody can tell whose they were.
    """
    epoch = rows.progress(change.relation).epoch
    gone = _Gone(models, {0: rows}, share)
    return list(
        gone.forget(lambda known: known.epoch < epoch, change, {0: FIRST}, received_at=received_at)
    )


def truncate(
    models: Sequence[Model],
    partitions: Mapping[int, Rows],
    change: Change,
    *,
    share: float,
    received_at: int,
) -> list[Keyed]:
    """All rows from before it are gone, in every partition.

    Raises:
        Blocked: a person must confirm it, or nobody can tell whose the rows were.
    """
    if len(partitions) > 1 and not change.position.isdecimal():
        raise Blocked(
            "rows_unresolved",
            f"{change.relation} was truncated, and this connector's positions do not say which"
            " rows came before: skip truncates in the connector, or use one partition",
        )
    gone = _Gone(models, partitions, share)
    positions = dict.fromkeys(partitions, change.position)
    events = list(
        gone.forget(
            lambda known: known.position < change.position,
            change,
            positions,
            received_at=received_at,
        )
    )
    for rows in partitions.values():
        progress = rows.progress(change.relation)
        cut = max(progress.cut, change.position)
        rows.save_progress(
            change.relation, msgspec.structs.replace(progress, epoch=progress.epoch or 1, cut=cut)
        )
    return events


def _deleted(change: Change, model: Model, rows: Rows, known: Known | None, place: Place) -> Taken:
    rows.bury(model.id, place.key, Known(place.epoch, place.position, None), place.received_at)
    if known is not None and known.digest is None:
        return Taken(skipped="duplicate")
    if change.key:
        return Taken(_keyed(place, events_of(change, model, place)))
    events = events_of_forgotten(model, place)
    if events is None:
        raise _unresolved(change, model)
    return Taken(_keyed(place, events))


def _present(
    change: Change,
    model: Model,
    rows: Rows,
    known: Known | None,
    place: Place,
    *,
    digests: Digests,
) -> Taken:
    values = mapped(change, model)
    digest = b"" if values is None else digests.row(values)
    events = _unlinked(change, model, place, digests)
    if not _is_nothing_new(change, model, known, digest):
        events += _keyed(place, events_of(change, model, place))
    rows.put(model.id, place.key, Known(place.epoch, place.position, digest))
    return Taken(events)


def _is_nothing_new(change: Change, model: Model, known: Known | None, digest: bytes) -> bool:
    if known is None or known.digest is None:
        return False
    if model.rows == "event":
        return change.op != "update"
    return not change.again and bool(digest) and known.digest == digest


def _unlinked(change: Change, model: Model, place: Place, digests: Digests) -> tuple[Keyed, ...]:
    """The other half of a key change says nothing, so this one lets go of the old key."""
    if change.old_key is None:
        return ()
    moved = replace(place, key=digests.key(change.old_key))
    return _keyed(moved, unlink_of(model, moved, change))


class _Gone:
    """Rows that went away without a message of their own."""

    def __init__(
        self, models: Sequence[Model], partitions: Mapping[int, Rows], share: float
    ) -> None:
        self._models = [m for m in models if m.rows != "event" and m.on_delete != "ignore"]
        self._partitions = partitions
        self._share = share

    def forget(
        self,
        is_gone: IsGone,
        change: Change,
        positions: Mapping[int, str],
        *,
        received_at: int,
    ) -> Iterator[Keyed]:
        """Each a delete, at the position given for its partition."""
        found = {model.id: list(self._found(model, is_gone)) for model in self._models}
        self._guard(change, sum(map(len, found.values())))
        for model in self._models:
            for number, key in found[model.id]:
                rows, position = self._partitions[number], positions[number]
                progress = rows.progress(change.relation)
                place = _place(change, key, progress, position, received_at=received_at)
                events = events_of_forgotten(model, place)
                if events is None:
                    raise _unresolved(change, model)
                rows.bury(model.id, key, Known(place.epoch, position, None), received_at)
                yield from _keyed(place, events)

    def _found(self, model: Model, is_gone: IsGone) -> Iterator[tuple[int, bytes]]:
        for number, rows in self._partitions.items():
            for key, known in rows.all(model.id):
                if is_gone(known):
                    yield number, key

    def _guard(self, change: Change, gone: int) -> None:
        everything = sum(
            1
            for model in self._models
            for rows in self._partitions.values()
            for _ in rows.all(model.id)
        )
        if gone > self._share * everything:
            raise Blocked(
                "mass_delete",
                f"{gone} of {everything} rows of {change.relation} would be deleted: if that is"
                " right, raise max_delete_share of the source until they are",
            )


def _keyed(place: Place, events: tuple[Event, ...]) -> tuple[Keyed, ...]:
    return tuple((place.row, event) for event in events)


def _unresolved(change: Change, model: Model) -> Blocked:
    return Blocked(
        "rows_unresolved",
        f"rows of {change.relation} are gone, and model {model.id} does not say whose they were:"
        " give it an identifier `$row`, or `on_delete: ignore`",
    )


def _place(
    change: Change, key: bytes, progress: Progress, position: str, *, received_at: int
) -> Place:
    return Place(
        source=change.source,
        relation=change.relation,
        key=key,
        epoch=progress.epoch,
        position=position,
        at=max(change.committed_at, progress.floor),
        received_at=received_at,
        historical=change.op == "read" or change.snapshot != "none",
    )
