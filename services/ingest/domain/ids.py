"""The four ids of an event and its message id, as clients write them and as we keep them."""

import hashlib
from typing import Any

import msgspec

ID_FIELDS = ("userId", "anonymousId", "groupId", "previousId")


def is_absent(value: Any) -> bool:
    """Nothing, for an id or a name: null or blank."""
    return value is None or (isinstance(value, str) and not value.strip())


def is_number(value: Any) -> bool:
    """A JSON number; integers beyond what Python converts are kept as `msgspec.Raw`."""
    return isinstance(value, int | float | msgspec.Raw) and not isinstance(value, bool)


def json_text(value: Any) -> str:
    """A string as it is, anything else as its JSON text."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def message_id(value: Any, limit: int) -> str | None:
    """The id that copies of one event share; an overlong one becomes its digest."""
    if value is None:
        return None
    text = json_text(value).strip()
    if len(text) > limit:
        return "sha256:" + hashlib.sha256(text.encode()).hexdigest()
    return text or None
