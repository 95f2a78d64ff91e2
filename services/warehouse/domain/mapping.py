"""From a change to events of people: what a model makes of a row that came, changed or went."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Literal

from schemas.records import Event, EventType
from services.warehouse.domain.canonical import json_text, moment, number_text
from services.warehouse.domain.change import Change, Columns, Undecodable
from services.warehouse.domain.model import ROW, Model

Link = Literal["link", "unlink"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Which row, and which of its changes: what a message id is made of."""

    source: str
    relation: str
    key: bytes
    """Digest."""
    epoch: int
    position: str
    at: int
    """When the source committed it."""
    received_at: int
    historical: bool = False

    @property
    def row(self) -> str:
        """Names the row, and keeps its changes in one partition."""
        return f"{self.source}|{self.relation}|{self.key.hex()}"

    @property
    def order(self) -> str:
        return f"{self.epoch:010d}/{self.position}"


def events_of(change: Change, model: Model, place: Place) -> tuple[Event, ...]:
    """What the change of one row means; its key and position are settled.

    Raises:
        Undecodable: a related row came without some of its columns.
    """
    if change.op == "delete":
        return () if change.forgets else _deleted(change, model, place)
    match model.rows:
        case "profile":
            return (_identify(_present(change), model, place),)
        case "event":
            happened = change.op != "update" or model.on_update == "event"
            return (_track(_present(change), model, place),) if happened else ()
        case "relation":
            return tuple(_linked(change, model, place))


def events_of_forgotten(model: Model, place: Place) -> tuple[Event, ...] | None:
    """A row of which only the digest is known went away; None when nobody can tell whose it was."""
    if model.rows == "event" or model.on_delete == "ignore":
        return ()
    if model.rows == "relation" or ROW not in model.identifiers.values():
        return None
    return _gone({}, model, place)


def unlink_of(model: Model, place: Place, change: Change) -> tuple[Event, ...]:
    """A related row's key changed: it is not known under the old one any more."""
    if model.rows != "relation":
        return ()
    values = {**_present(change), **(change.before or {}), **(change.old_key or {})}
    return (_relation("unlink", values, model, place),)


def mapped(change: Change, model: Model) -> Mapping[str, Any] | None:
    """The values that a row's digest is over; None when some were not sent."""
    if change.after is None or change.unchanged:
        return None
    return {column: change.after[column] for column in sorted(model.used)}


def _present(change: Change) -> Columns:
    return {**change.key, **(change.after or {})}


def _deleted(change: Change, model: Model, place: Place) -> tuple[Event, ...]:
    values = {**(change.before or {}), **change.key}
    return _gone(values, model, place)


def _gone(values: Columns, model: Model, place: Place) -> tuple[Event, ...]:
    if model.rows == "event" or model.on_delete == "ignore":
        return ()
    if model.rows == "relation":
        return (_relation("unlink", values, model, place),)
    if model.on_delete == "event":
        body: Mapping[str, Any] = {"properties": {}}
        return (_event("track", body, values, model, place, name=f"{model.id} deleted"),)
    cleared = dict.fromkeys(model.columns.values())
    return (_event("identify", {"traits": cleared}, values, model, place),)


def _identify(values: Columns, model: Model, place: Place) -> Event:
    """Columns that were not sent are absent; what is null is cleared, or says nothing."""
    traits = {
        trait: values[column]
        for column, trait in model.columns.items()
        if column in values and (values[column] is not None or model.on_null == "clear")
    }
    return _event("identify", {"traits": traits}, values, model, place)


def _track(values: Columns, model: Model, place: Place) -> Event:
    properties = {n: values[column] for column, n in model.columns.items() if column in values}
    at = None if model.time is None else _instant(values.get(model.time))
    body = {"properties": properties}
    return _event("track", body, values, model, place, name=model.event_name, at=at)


def _linked(change: Change, model: Model, place: Place) -> Iterator[Event]:
    """A row that passed to another owner leaves the old one first."""
    values = {**(change.before or {}), **_present(change)}
    missing = [column for column in model.used if column not in values]
    if missing:
        raise Undecodable("incomplete_row", missing[0])
    if change.before is not None:
        before = _identifiers(change.before, model, place)
        if before != _identifiers(values, model, place):
            yield _relation("unlink", change.before, model, place)
    yield _relation("link", values, model, place)


def _relation(op: Link, values: Columns, model: Model, place: Place) -> Event:
    row: dict[str, Any] = {"key": place.key.hex(), "op": op, "position": place.order}
    if op == "link":
        columns = {n: values[column] for column, n in model.columns.items()}
        row["columns"] = {n: value for n, value in columns.items() if value is not None}
    return _event("relation", {"row": row}, values, model, place, name=model.relation_name)


def _event(  # noqa: PLR0913 (the parts of one record)
    type_: EventType,
    body: Mapping[str, Any],
    values: Columns,
    model: Model,
    place: Place,
    *,
    name: str | None = None,
    at: int | None = None,
) -> Event:
    identifiers = _identifiers(values, model, place)
    external = [{"type": t, "id": i} for t, i in identifiers.items()]
    payload = {"type": type_, "context": {"externalIds": external}, **body}
    return Event(
        source_id=place.source,
        message_id=_message_id(type_, body, model, place),
        type=type_,
        name=name,
        user_id=identifiers.get("user_id"),
        timestamp=place.at if at is None else at,
        received_at=place.received_at,
        historical=place.historical,
        payload=json_text(payload).encode(),
    )


def _message_id(type_: str, body: Mapping[str, Any], model: Model, place: Place) -> str:
    """Greater for a later change of a row, because among traits of one instant it decides."""
    op = body["row"]["op"] if type_ == "relation" else type_
    text = f"{place.row}|{model.id}|{place.order}|{op}"
    return f"{place.order}-{hashlib.sha256(text.encode()).hexdigest()[:24]}"


def _identifiers(values: Columns, model: Model, place: Place) -> dict[str, str]:
    """Null and empty are absent."""
    found = {
        type_: place.row if column == ROW else _text(values.get(column))
        for type_, column in model.identifiers.items()
    }
    return {type_: text for type_, text in found.items() if text}


def _text(value: Any) -> str:
    match value:
        case None | bool():
            return ""
        case str():
            return value
        case datetime():
            return moment(value)
        case date():
            return value.isoformat()
        case bytes():
            return value.hex()
        case dict() | list():
            return ""
        case _:
            return number_text(value)


def _instant(value: Any) -> int | None:
    """Unix milliseconds; without a zone it is taken as UTC, a date as its first instant."""
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    if not isinstance(value, datetime):
        return None
    aware = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
    return round(aware.timestamp() * 1000)
