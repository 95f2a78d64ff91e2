"""What every platform refuses before it looks at a single item: paths, headers, fields, sizes."""

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from typing import Any

from services.activator.domain.contract import Endpoint
from tests.stub.shapes import SHAPES, TYPES, Shape
from tests.stub.world import Call, Refused, World

BEARER = {"authorization": r"Bearer \S+"}
ADS = BEARER | {"developer-token": r"\S+"}
LINKEDIN = BEARER | {"linkedin-version": "202604", "x-restli-protocol-version": r"2\.0\.0"}
TIKTOK = {"access-token": r"(?!Bearer)\S+"}
API = "application/vnd\\.api\\+json"
HEADERS: Mapping[str, Mapping[str, str]] = {
    "meta_custom_audiences": BEARER,
    "meta_conversions": BEARER,
    "google_data_manager": BEARER,
    "google_ads_customer_match": ADS,
    "google_ads_conversions": ADS,
    "tiktok_audiences": TIKTOK,
    "tiktok_events": TIKTOK,
    "linkedin_dmp": LINKEDIN,
    "linkedin_conversions": LINKEDIN | {"x-restli-method": "BATCH_CREATE"},
    "snapchat_audiences": BEARER,
    "trade_desk_first_party": {"ttdsignature": r"\S+="},
    "hubspot": BEARER,
    "salesforce": BEARER,
    "braze": BEARER,
    "klaviyo": {
        "authorization": r"Klaviyo-API-Key \S+",
        "revision": "2026-07-15",
        "accept": API,
    },
    "customerio": {"authorization": r"(Basic|Bearer) \S+"},
    "iterable": {"api-key": r"\S+"},
    "intercom": BEARER | {"intercom-version": r"2\.14"},
    "zendesk": {"authorization": r"(Basic|Bearer) \S+"},
    "mailchimp": {"authorization": r"(Basic|Bearer) \S+"},
    "slack_webhook": {},
    "google_sheets": BEARER,
    "webhook": {
        "webhook-id": "msg_[0-9a-f]{32}",
        "webhook-timestamp": "[0-9]{10}",
        "webhook-signature": r"v1,\S+( v1,\S+)*",
    },
}
"""What every call of a platform carries, the whole value as a pattern."""
PROOF = frozenset({"appsecret_time", "appsecret_proof"})
"""By which Meta may be shown that the caller knows the secret of the app."""
PAGES = frozenset({"after", "cursor", "offset", "page", "page[cursor]", "pageToken"})
"""By which the next page of a list is asked for."""
SIGNS = ("authorization", "access-token", "api-key", "ttdsignature")
"""The headers by which a caller is known."""
MALFORMED: Mapping[str, str] = {
    "meta_custom_audiences": "invalid_parameter",
    "meta_conversions": "invalid_parameter",
    "google_data_manager": "invalid_argument",
    "google_sheets": "invalid_argument",
    "tiktok_audiences": "bad_parameter",
    "tiktok_events": "bad_parameter",
    "snapchat_audiences": "invalid",
    "hubspot": "validation",
    "salesforce": "malformed",
    "braze": "fatal",
    "klaviyo": "invalid",
    "customerio": "bad_request",
    "iterable": "bad_params",
    "intercom": "invalid",
    "zendesk": "invalid",
    "mailchimp": "invalid",
    "slack_webhook": "bad_payload",
}
"""By which row of its contract a platform says that a request makes no sense; the others with a
plain 400."""


def check(call: Call, world: World) -> None:
    """Let the call pass.

    Raises:
        Refused: the platform would not.
    """
    shape = next((s for s in SHAPES[world.name] if s.fits(call.method, call.path)), None)
    if shape is None:
        raise Refused("no_such_path", 404)
    _headers(call, world)
    paged = PAGES if call.method == "GET" else frozenset[str]()
    if shape.query and set(call.query) - paged - PROOF != set(shape.query.split()):
        raise malformed(world)
    _size(call, world)
    if call.method != "GET" and (call.content or shape.needs):
        _fields(call, shape, world)


def is_rehearsal(call: Call) -> bool:
    """Whether the platform is only to check it."""
    return isinstance(call.body, dict) and call.body.get("validateOnly") is True


def malformed(world: World) -> Refused:
    """The platform's word for a request that makes no sense."""
    return Refused(MALFORMED.get(world.name, "malformed"))


def _headers(call: Call, world: World) -> None:
    for name, pattern in HEADERS[world.name].items():
        if re.fullmatch(pattern, call.headers.get(name, "")) is None:
            raise Refused("auth", 401) if name in SIGNS else malformed(world)
    if "ttdsignature" in HEADERS[world.name] and not _is_signed(call):
        raise Refused("auth", 401)
    kind = API if world.name == "klaviyo" else "application/json"
    if call.content and not re.match(kind, call.headers.get("content-type", "")):
        raise malformed(world)


def _is_signed(call: Call) -> bool:
    digest = hmac.new(b"ttd-secret", call.content, hashlib.sha1).digest()
    return call.headers["ttdsignature"] == base64.b64encode(digest).decode()


def _size(call: Call, world: World) -> None:
    endpoint = endpoint_of(call, world)
    most = endpoint.max_bytes if endpoint else None
    if most is not None and len(call.content) > most:
        raise Refused("too_large", 413)


def endpoint_of(call: Call, world: World) -> Endpoint | None:
    """The operation that a call is; the first of those that share its path."""
    return next(iter(endpoints_of(call, world)), None)


def endpoints_of(call: Call, world: World) -> Sequence[Endpoint]:
    """The operations that a call may be."""
    return [each for each in world.contract.endpoints if _is_at(each, call)]


def _is_at(endpoint: Endpoint, call: Call) -> bool:
    if endpoint.path.startswith("/v24/{resource_name}"):
        return call.path.endswith(endpoint.path.partition("}")[2])
    if call.method == endpoint.method and not endpoint.path:
        return True
    path = re.sub(r"\{\w+\}", "{}", endpoint.path)
    return Shape(endpoint.method, path).fits(call.method, call.path)


def _fields(call: Call, shape: Shape, world: World) -> None:
    if world.name == "webhook" and isinstance(call.body, list):
        return
    body: Any = call.body
    needs = set(shape.needs.split())
    allowed = needs | set(shape.may.split())
    if not isinstance(body, dict) or not needs <= set(body) <= allowed:
        raise malformed(world)
    for name, value in body.items():
        if value is not None and type(value) not in _types(name, world):
            raise malformed(world)


def _types(name: str, world: World) -> tuple[type, ...]:
    if name == "data" and world.name.startswith(("meta_", "tiktok_")):
        return (list,)
    if name in ("signed_up_at", "last_seen_at"):
        return (int,)
    return TYPES.get(name, (str,))
