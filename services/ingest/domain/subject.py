"""Whose event it is, for those who asked not to be in anybody's data."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

from schemas.records import CallType
from services.ingest.domain.ids import is_absent, is_number, json_text

SubjectKind = Literal["USER_ID", "ANONYMOUS_ID"]
Holds = Callable[[SubjectKind, str], bool]
"""Whether a source must know nothing of this person."""


def is_suppressed(event: Any, path_type: CallType | None, holds: Holds) -> bool:
    """Whether one of the people whom the event names is suppressed; faults of it do not matter."""
    if not isinstance(event, dict):
        return False
    stated_type = path_type or event.get("type")
    return any(holds(kind, value) for kind, value in subjects(event, stated_type))


def subjects(event: Mapping[str, Any], stated_type: Any) -> Iterator[tuple[SubjectKind, str]]:
    user, anonymous = _id(event.get("userId")), _id(event.get("anonymousId"))
    if user is not None:
        yield "USER_ID", user
    if anonymous is not None:
        yield "ANONYMOUS_ID", anonymous
    # The former id of an alias may have been of either kind.
    previous = _id(event.get("previousId")) if stated_type == "alias" else None
    if previous is not None:
        yield "USER_ID", previous
        yield "ANONYMOUS_ID", previous


def _id(value: Any) -> str | None:
    if is_absent(value) or not (isinstance(value, str) or is_number(value)):
        return None
    return json_text(value)
