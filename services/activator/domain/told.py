"""Ids as platforms tell them: of the audience with a name, of people known under our own."""

from collections.abc import Iterable, Mapping
from typing import Any

from services.activator.domain.answer import Answer
from services.activator.domain.platform import Batch, text_id


def id_of(
    listed: Iterable[Any], name: str, *, name_key: str = "name", id_key: str = "id"
) -> str | None:
    """The id of the first element with that name that has one."""
    named = (each for each in listed if isinstance(each, dict) and each.get(name_key) == name)
    return next((own for each in named if (own := text_id(each.get(id_key)))), None)


def under_own_id(batch: Batch, _answer: Answer) -> Mapping[str, str]:
    """Whoever was written is there from now on, under the id that we gave."""
    if batch.endpoint.action != "upsert_profile":
        return {}
    return {c.profile_id: e.place.names[0] for e in batch.entries for c in e.changes}
