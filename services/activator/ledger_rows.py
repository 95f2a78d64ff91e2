"""Rows of the ledger as values, and values as rows."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from schemas.codec import decode_as, encode
from schemas.records import Activation, Identifier
from services.activator.domain.change import Change, Person, change_of
from services.activator.domain.fold import Skipped
from services.activator.domain.outcomes import SENT, Outcome
from services.activator.domain.person import joined, kept
from services.activator.domain.verdict import INTRODUCED, Item, Verdict


def columns(rows: Sequence[tuple[Any, ...]], width: int) -> list[list[Any]]:
    """The rows as the arrays that a statement unnests."""
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[]] * width


def item_of(row: Any) -> Item:
    """A change that waits, or that went into a job."""
    payload = bytes(row["payload"])
    return Item(
        change=change_of(decode_as(Activation, payload), payload),
        attempts=row["attempts"],
        waiting_since=row["waiting_since"],
        touched=row["touched"],
        sent=person_of(row["sent_identifiers"]),
        first_sent_at=row["first_sent_at"],
        introduced=row["reason"] == INTRODUCED,
    )


def viewed(row: Any) -> Person:
    """Somebody as the views know them."""
    return Person(
        identifiers=msgspec.json.decode(row["identifiers"], type=tuple[Identifier, ...]),
        traits=msgspec.json.decode(row["traits"]),
        consent=msgspec.json.decode(row["consent"]),
    )


def again(destination_id: str, row: Any, at: datetime) -> Item:
    """The add that was sent before, once more: under the same identifiers and those of today, if
    the person as known today allows it."""
    sent, today = person_of(row["sent_identifiers"]), viewed(row)
    assert sent is not None
    person = msgspec.structs.replace(joined(sent, today), consent=today.consent)
    activation = Activation(
        destination_id=destination_id,
        kind="membership",
        profile_id=row["profile_id"],
        audience_id=row["audience_id"],
        member=True,
        version=row["version"],
        occurred_at=int(at.timestamp() * 1000),
        cause="time",
        profile=msgspec.json.encode(person),
    )
    return Item(change=change_of(activation, encode(activation)), touched=True, sent=sent)


def claim_row(item: Item) -> tuple[Any, ...]:
    """What is written before anything is sent."""
    change = item.change
    return (
        *change.key,
        change.version,
        change.member,
        change.operation,
        change.idempotency_key,
        bool(change.member),
        sent_as(item) if change.member else None,
    )


def sent_as(item: Item) -> str:
    """As whom the platform may hold the person once this add is sent, as JSON."""
    person = kept(item.change.person, item.change.profile_id)
    if item.touched and item.sent is not None:
        person = joined(item.sent, person)
    return msgspec.json.encode(person).decode()


def person_of(stored: str | None) -> Person | None:
    """As whom somebody was sent."""
    return None if stored is None else msgspec.json.decode(stored, type=Person)


def ledger_row(verdict: Verdict) -> tuple[Any, ...]:
    """What became of a change."""
    change, sent = verdict.item.change, verdict.outcome in SENT
    is_over = sent or verdict.outcome is Outcome.SKIPPED
    return (
        *change.key,
        change.version,
        verdict.outcome,
        verdict.reason,
        verdict.attempts,
        verdict.next_attempt_at,
        verdict.waiting_since,
        verdict.touched,
        sent,
        verdict.sent_at if verdict.may_have_arrived else None,
        None if is_over else change.raw,
    )


def log_row(verdict: Verdict) -> tuple[Any, ...]:
    """The line of an attempt in the delivery log."""
    latency = verdict.latency
    return (
        *_logged(verdict.item.change),
        verdict.outcome,
        verdict.reason,
        verdict.status,
        verdict.request_id,
        verdict.attempts,
        verdict.sent_at,
        None if latency is None else round(latency.total_seconds() * 1000),
        verdict.detail,
    )


def skip_row(skipped: Skipped) -> tuple[Any, ...]:
    """The line of a change that is not sent."""
    unsent = (None, None, 0, None, None, None)
    return (*_logged(skipped.change), Outcome.SKIPPED, skipped.reason, *unsent)


def _logged(change: Change) -> tuple[Any, ...]:
    return (change.operation, change.idempotency_key, change.profile_id, change.audience_id)
