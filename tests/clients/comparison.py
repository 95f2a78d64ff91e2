"""What is stored against what was sent: equal to the byte, but for what normalising is about."""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

IDS = ("userId", "anonymousId", "groupId", "previousId")
TIMES = ("originalTimestamp", "timestamp", "sentAt", "receivedAt")
ADDED_TO_CONTEXT = ("ip", "userAgent", "locale")
DEFAULTS: Mapping[str, tuple[str, ...]] = {
    "track": ("properties",),
    "page": ("properties",),
    "screen": ("properties",),
    "identify": ("traits",),
    "group": ("traits",),
    "alias": (),
}


def assert_same(sent: Mapping[str, Any], sent_at: Any, stored: Mapping[str, Any]) -> None:
    """Every field of one event, in the order in which it was sent."""
    assert _texts(stored, like=sent) == _texts(_settled(sent, stored["type"]))
    _assert_times(sent, sent_at, stored)
    _assert_context(sent.get("context") or {}, stored["context"])
    assert stored["version"] == sent.get("version", 2)
    assert stored["channel"] == sent.get("channel", stored["channel"])
    assert stored["channel"] in {"server", "browser", "mobile", "web"}


def _settled(sent: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """The event as it must come out, without what is looked at by itself."""
    event = {key: value for key, value in sent.items() if key not in IDS or not _is_blank(value)}
    event["type"] = kind
    traits = (sent.get("context") or {}).get("traits")
    if kind == "identify" and not event.get("traits") and isinstance(traits, dict):
        event["traits"] = traits
    if kind == "alias" and "previousId" not in event:
        event["previousId"] = event["anonymousId"]
    for field in ("integrations", *DEFAULTS[kind]):
        if event.get(field) is None:
            event[field] = {}
    return event


def _is_blank(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _texts(event: Mapping[str, Any], like: Mapping[str, Any] | None = None) -> dict[str, str]:
    """Field → its JSON, where the order of keys and 1 against 1.0 show."""
    apart = {*TIMES, "context", "version", "channel", "projectId", "writeKey"}
    if like is not None:
        assert "writeKey" not in event
    return {key: json.dumps(value) for key, value in event.items() if key not in apart}


def _assert_times(sent: Mapping[str, Any], sent_at: Any, stored: Mapping[str, Any]) -> None:
    given = sent.get("originalTimestamp") or sent.get("timestamp")
    received = _moment(stored["receivedAt"])
    if given is None:
        assert stored["originalTimestamp"] == stored["receivedAt"]
        return
    original, left = _moment(given), _moment(sent_at) if sent_at else received
    assert _moment(stored["originalTimestamp"]) == original
    assert _moment(stored["sentAt"]) == left
    assert abs(_moment(stored["timestamp"]) - (received - (left - original))) < timedelta(0, 0.002)


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def _assert_context(sent: Mapping[str, Any], stored: Mapping[str, Any]) -> None:
    kept = {key: value for key, value in stored.items() if key in sent}
    assert json.dumps(kept) == json.dumps(sent)
    assert set(stored) - set(sent) <= set(ADDED_TO_CONTEXT)
