"""Files: changes as lines of JSON or CSV, in folders by operation, day and hour."""

import csv
import hashlib
import io
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import Field, StrictBool

from services.activator.domain.change import Change
from services.activator.domain.contract import Contract, Endpoint
from services.activator.domain.platform import (
    Audience,
    Batch,
    Destination,
    DestinationSettings,
    Draft,
    Setup,
)
from services.activator.domain.record import record_of
from services.activator.domain.requests import Request, as_json

MAX_BYTES = 64 * 2**20
CONTRACT = Contract(
    name="file",
    category="generic",
    by_profile=True,
    transport="filesystem",
    endpoints=(
        Endpoint(
            action="add_member",
            method="APPEND",
            path="{root}/{destination_id}/add_member/dt={date}/hh={hour}/",
            max_items=100000,
            max_bytes=MAX_BYTES,
            dedup="offsets_in_name",
        ),
        Endpoint(
            action="remove_member",
            method="APPEND",
            path="{root}/{destination_id}/remove_member/dt={date}/hh={hour}/",
            max_items=100000,
            max_bytes=MAX_BYTES,
            dedup="offsets_in_name",
        ),
        Endpoint(
            action="upsert_profile",
            method="APPEND",
            path="{root}/{destination_id}/upsert_profile/dt={date}/hh={hour}/",
            max_items=100000,
            max_bytes=MAX_BYTES,
            dedup="offsets_in_name",
        ),
        Endpoint(
            action="send_event",
            method="APPEND",
            path="{root}/{destination_id}/send_event/dt={date}/hh={hour}/",
            max_items=100000,
            max_bytes=MAX_BYTES,
            dedup="offsets_in_name",
        ),
    ),
)


class Settings(DestinationSettings):
    """Where the files go and how they look."""

    root: str = Field(pattern=r"^/")
    """An absolute path; the senders' user writes there."""
    format: Literal["ndjson", "csv"] = "ndjson"
    """Lines of JSON, or CSV with a header."""
    gzip: StrictBool = False
    """Compress each file."""


def drafts(
    change: Change, _endpoint: Endpoint, _audience: Audience | None, _setup: Setup[Settings]
) -> Sequence[Draft]:
    return (Draft(payload=record_of(change), names=(change.idempotency_key,)),)


def build(batch: Batch, setup: Setup[Settings]) -> Request:
    """The name follows from the changes, so that a repeat finds its file there."""
    settings = setup.settings
    keys = [entry.changes[0].idempotency_key for entry in batch.entries]
    digest = hashlib.sha256("\n".join(keys).encode()).hexdigest()[:32]
    taken = datetime.fromtimestamp(batch.entries[0].changes[0].occurred_at / 1000, UTC)
    folder = batch.endpoint.path.format(
        root=settings.root.rstrip("/"),
        destination_id=setup.destination_id,
        date=taken.strftime("%Y-%m-%d"),
        hour=taken.strftime("%H"),
    )
    end = settings.format + (".gz" if settings.gzip else "")
    name = f"part-{keys[0][:16]}-{keys[-1][:16]}-{digest}.{end}"
    content = lines(batch.payloads) if settings.format == "ndjson" else table(batch.payloads)
    return Request(url=folder + name, headers={}, content=content, method="APPEND")


def lines(records: Sequence[Mapping[str, Any]]) -> bytes:
    return b"".join(as_json(record) + b"\n" for record in records)


def table(records: Sequence[Mapping[str, Any]]) -> bytes:
    """RFC 4180; what a spreadsheet would run as a formula is text."""
    columns = list(dict.fromkeys(name for record in records for name in record))
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(columns)
    writer.writerows([_cell(record.get(name)) for name in columns] for record in records)
    return text.getvalue().encode()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        return as_json(value).decode()
    return f"'{value}" if value.startswith(("=", "+", "-", "@")) else value


DESTINATION = Destination(contract=CONTRACT, settings=Settings, drafts=drafts, build=build)
