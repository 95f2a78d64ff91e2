"""Which changes share a request: equal keys, within the platform's counts and sizes."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import reduce
from typing import Any

from services.activator.domain.change import Change
from services.activator.domain.contract import Endpoint
from services.activator.domain.naming import Place
from services.activator.domain.platform import Audience, Batch, Draft, Entry
from services.activator.domain.requests import as_json

AUDIENCE_KEYS = frozenset(
    ("audience_id", "segment_id", "list_id", "product_destination_id", "user_list", "contact_id")
)
"""Parts of a batch key that stand for the audience."""
HEADROOM = 0.95
"""Of the bytes that a request may have; the rest is for what is around the entries."""
ENVELOPE = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One entry of one change on its way into a batch."""

    change: Change
    endpoint: Endpoint
    audience: Audience | None
    draft: Draft
    size: int
    """In bytes, with what separates it from the next; 0 where the platform counts no bytes."""
    again: bool = False


def part(
    change: Change,
    endpoint: Endpoint,
    audience: Audience | None,
    draft: Draft,
    *,
    again: bool = False,
) -> Part:
    """The entry with its size."""
    counts_bytes = endpoint.max_bytes is not None or endpoint.max_item_bytes is not None
    return Part(
        change=change,
        endpoint=endpoint,
        audience=audience,
        draft=draft,
        size=len(as_json(draft.payload)) + 1 if counts_bytes else 0,
        again=again,
    )


def is_too_large(one: Part) -> bool:
    """Whether no request could hold it."""
    endpoint = one.endpoint
    if endpoint.max_item_bytes is not None and one.size - 1 > endpoint.max_item_bytes:
        return True
    return endpoint.max_bytes is not None and one.size > endpoint.max_bytes


def batches(parts: Iterable[Part], *, at: datetime, session: Callable[[], int]) -> list[Batch]:
    """Every part in a batch, in the order in which they came."""
    groups: dict[tuple[Any, ...], list[Part]] = {}
    for one in parts:
        groups.setdefault(_group(one), []).append(one)
    return [_batch(chunk, at, session()) for group in groups.values() for chunk in _chunks(group)]


def _group(one: Part) -> tuple[Any, ...]:
    """What parts of one request have in common."""
    endpoint, audience = one.endpoint, one.audience
    by_audience = audience is not None and not AUDIENCE_KEYS.isdisjoint(endpoint.batch_key)
    return (family(endpoint), audience.id if audience and by_audience else None, one.draft.key)


def family(endpoint: Endpoint) -> tuple[str, ...]:
    """Operations that may travel together have the same family."""
    shared = endpoint.mixes or bool(endpoint.shares_with)
    return (endpoint.method, endpoint.path, *(() if shared else (endpoint.action,)))


def _chunks(group: Sequence[Part]) -> Iterable[list[Part]]:
    chunk: list[Part] = []
    size, count, taken = ENVELOPE, 0, set[str]()
    for one in group:
        unique = one.draft.unique
        joins = unique is not None and unique in taken
        limit = one.endpoint.max_bytes
        is_full = not joins and count >= one.endpoint.max_items
        is_big = limit is not None and size + one.size > limit * HEADROOM
        if chunk and (is_full or is_big):
            yield chunk
            chunk, size, count, taken, joins = [], ENVELOPE, 0, set(), False
        chunk.append(one)
        size += one.size
        count += not joins
        if unique is not None:
            taken.add(unique)
    if chunk:
        yield chunk


def _batch(chunk: Sequence[Part], at: datetime, session: int) -> Batch:
    joined: dict[str | int, list[Part]] = {}
    for number, one in enumerate(chunk):
        joined.setdefault(one.draft.unique or number, []).append(one)
    in_array: Counter[str] = Counter()
    entries = []
    for index, parts in enumerate(joined.values()):
        array = parts[0].draft.array
        entries.append(_entry(parts, index, in_array[array]))
        in_array[array] += 1
    return Batch(
        endpoint=chunk[0].endpoint,
        audience=chunk[0].audience,
        entries=tuple(entries),
        at=at,
        session=session,
    )


def _entry(parts: Sequence[Part], index: int, array_index: int) -> Entry:
    """Parts with the same unique value as one; what came later wins."""
    draft = parts[0].draft if len(parts) == 1 else _joined([one.draft for one in parts])
    changes = tuple(one.change for one in parts)
    event = changes[0].conversion
    place = Place(
        index=index,
        action=parts[0].endpoint.action,
        array=draft.array,
        array_index=array_index,
        names=draft.names,
        event=event.name if event else None,
        is_remove=all(change.operation == "remove_member" for change in changes),
    )
    again = any(one.again for one in parts)
    return Entry(changes=changes, draft=draft, place=place, again=again)


def _joined(drafts: Sequence[Draft]) -> Draft:
    """One draft with the payloads and names of all."""
    names = tuple(dict.fromkeys(name for draft in drafts for name in draft.names))
    payload = reduce(merged, (draft.payload for draft in drafts))
    return replace(drafts[0], payload=payload, names=names)


def merged(one: Any, other: Any) -> Any:
    """Two payloads about the same thing as one."""
    if not (isinstance(one, Mapping) and isinstance(other, Mapping)):
        return other
    common = {key: merged(one[key], other[key]) for key in one.keys() & other.keys()}
    return {**one, **other, **common}


def of_entries(batch: Batch, entries: Sequence[Entry], at: datetime, session: int) -> Batch:
    """A new request for some entries of another one."""
    in_array: Counter[str] = Counter()
    placed = []
    for index, entry in enumerate(entries):
        place = replace(entry.place, index=index, array_index=in_array[entry.draft.array])
        in_array[entry.draft.array] += 1
        placed.append(replace(entry, place=place))
    return replace(batch, entries=tuple(placed), at=at, session=session)


def halves(entries: Sequence[Entry]) -> tuple[Sequence[Entry], Sequence[Entry]]:
    """The entries in two parts."""
    middle = (len(entries) + 1) // 2
    return entries[:middle], entries[middle:]
