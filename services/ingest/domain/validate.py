"""What makes an event unacceptable: tables of codes in the order in which they are looked for."""

from collections.abc import Callable, Mapping
from typing import Any, cast, get_args

from schemas.records import CallType
from services.ingest.domain.codes import EventCode
from services.ingest.domain.ids import ID_FIELDS, is_absent, is_number, json_text
from services.ingest.domain.limits import Limits

Fault = Callable[[Mapping[str, Any], Limits], bool]
Check = tuple[EventCode, Fault]

EVENT_TYPES = frozenset(get_args(CallType))
CONSENT_UPDATE = "Segment Consent Preference Updated"


def excess(event: Mapping[str, Any], size: bytes, limits: Limits) -> EventCode | None:
    """The limit that an event as received goes over; `size` is its compact JSON."""
    if len(size) > limits.event_bytes:
        return "event_too_large"
    # No event nests deeper than its brackets or has more leaves than commas: most need no walk.
    if size.count(b"{") + size.count(b"[") > limits.nesting and _depth(event) > limits.nesting:
        return "nesting_too_deep"
    if size.count(b",") >= limits.leaves and _leaves(event) > limits.leaves:
        return "too_many_properties"
    return None


def event_type(value: Any) -> CallType | None:
    """The type of a batch item, exactly as it must be written."""
    return cast(CallType, value) if isinstance(value, str) and value in EVENT_TYPES else None


def fault(event: Mapping[str, Any], kind: CallType, limits: Limits) -> EventCode | None:
    """The first thing wrong with an event of this type."""
    for code, is_faulty in CHECKS[kind]:
        if is_faulty(event, limits):
            return code
    if kind == "track" and event["event"] == CONSENT_UPDATE:
        preferences = _preferences(event)
        return next((code for code, is_wrong in CONSENT_CHECKS if is_wrong(preferences)), None)
    return None


def _depth(value: Any) -> int:
    level, deepest = [value], 0
    while level:
        level = [v for v in level if isinstance(v, dict | list)]
        deepest += bool(level)
        level = [v for parent in level for v in _children(parent)]
    return deepest


def _leaves(value: Any) -> int:
    leaves, waiting = 0, [value]
    while waiting:
        children = _children(waiting.pop())
        waiting.extend(children)
        leaves += sum(1 for v in children if not (isinstance(v, dict | list) and v))
    return leaves


def _children(value: Any) -> list[Any]:
    match value:
        case dict():
            return list(value.values())
        case list():
            return value
        case _:
            return []


def _id_not_string(event: Mapping[str, Any], _: Limits) -> bool:
    for field in ID_FIELDS:
        value = event.get(field)
        if value is not None and not isinstance(value, str) and not is_number(value):
            return True
    return False


def _id_too_long(event: Mapping[str, Any], limits: Limits) -> bool:
    for field in ID_FIELDS:
        value = event.get(field)
        if value is None or (isinstance(value, str) and len(value) <= limits.id_chars):
            continue
        if len(json_text(value)) > limits.id_chars and not is_absent(value):
            return True
    return False


def _longer(*fields: str) -> Fault:
    def is_faulty(event: Mapping[str, Any], limits: Limits) -> bool:
        return any(
            isinstance(value := event.get(field), str) and len(value) > limits.name_chars
            for field in fields
        )

    return is_faulty


def _missing(*fields: str) -> Fault:
    """None of the fields says anything."""
    if len(fields) == 1:
        (only,) = fields
        return lambda event, _: is_absent(event.get(only))
    return lambda event, _: all(is_absent(event.get(field)) for field in fields)


def _not(kind: type, field: str) -> Fault:
    def is_faulty(event: Mapping[str, Any], _: Limits) -> bool:
        value = event.get(field)
        return value is not None and not isinstance(value, kind)

    return is_faulty


def _preferences(event: Mapping[str, Any]) -> Any:
    context = event.get("context")
    consent = context.get("consent") if isinstance(context, dict) else None
    return consent.get("categoryPreferences") if isinstance(consent, dict) else None


_ANY: tuple[Check, ...] = (("id_not_string", _id_not_string), ("id_too_long", _id_too_long))
_SOMEBODY: tuple[Check, ...] = (("no_user_anon_id", _missing("userId", "anonymousId")),)
_OBJECTS: tuple[Check, ...] = (
    ("properties_not_object", _not(dict, "properties")),
    ("traits_not_object", _not(dict, "traits")),
)
_SIDE_OBJECTS: tuple[Check, ...] = (
    ("context_not_object", _not(dict, "context")),
    ("integrations_not_object", _not(dict, "integrations")),
)
_VIEW: tuple[Check, ...] = (
    *_ANY,
    ("name_too_long", _longer("name", "category")),
    *_SOMEBODY,
    *_OBJECTS,
    ("name_not_string", _not(str, "name")),
    ("category_not_string", _not(str, "category")),
    *_SIDE_OBJECTS,
)

CHECKS: Mapping[CallType, tuple[Check, ...]] = {
    "track": (
        *_ANY,
        ("name_too_long", _longer("event")),
        *_SOMEBODY,
        ("event_not_defined", _missing("event")),
        ("event_not_string", _not(str, "event")),
        *_OBJECTS,
        *_SIDE_OBJECTS,
    ),
    "identify": (*_ANY, *_SOMEBODY, *_OBJECTS, *_SIDE_OBJECTS),
    "page": _VIEW,
    "screen": _VIEW,
    "group": (
        *_ANY,
        *_SOMEBODY,
        *_OBJECTS,
        ("group_id_required", _missing("groupId")),
        *_SIDE_OBJECTS,
    ),
    "alias": (
        *_ANY,
        ("no_user_anon_id", _missing("userId")),
        *_OBJECTS,
        ("previous_id_required", _missing("previousId", "anonymousId")),
        *_SIDE_OBJECTS,
    ),
}
"""Type → its checks, in the order in which the first failing one gives its code."""

CONSENT_CHECKS: tuple[tuple[EventCode, Callable[[Any], bool]], ...] = (
    ("consent_categorypreferences_should_exist", lambda given: given is None),
    (
        "consent_categorypreferences_fields_should_be_object",
        lambda given: not isinstance(given, dict),
    ),
    (
        "consent_categorypreferences_fields_should_be_bool",
        lambda given: not all(isinstance(value, bool) for value in given.values()),
    ),
)
"""What is looked for, after all else, in the reserved event that records a consent."""
