"""`python -m services.ingest.openapi`: the HTTP interface as an OpenAPI file, from its tables."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from schemas.records import CallType
from services.ingest.domain.codes import (
    REFUSALS,
    TOKEN_ERRORS,
    EventCode,
    RequestCode,
    TokenError,
)
from services.ingest.routes import ROUTES, Purpose, Route

FILE = Path(__file__).parents[2] / "schemas" / "openapi" / "ingest.json"

Schema = Mapping[str, Any]
JSON, TEXT, FORM = "application/json", "text/plain", "application/x-www-form-urlencoded"
BODIES = (JSON, TEXT, FORM)
"""The content type is never looked at; these are what clients say."""

SUMMARIES: Mapping[Purpose, str] = {
    "collect": "Take events; 200 when they are durable",
    "pixel": "Take one event from an address; always an image",
    "settings": "What Segment's browser library asks for first",
    "source_config": "What RudderStack's browser library asks for first",
    "token": "An OAuth token for a client's signed assertion",
    "discard": "Take a client's figures about itself, which nobody keeps",
    "health": "Whether the process lives",
    "ready": "Whether events can be made durable",
}
REFUSED: Mapping[Purpose, tuple[RequestCode, ...]] = {
    "collect": tuple(
        code
        for code in REFUSALS
        if code not in ("not_found", "method_not_allowed", "uri_too_long", "invalid_http")
    ),
    "pixel": (),
    "settings": ("invalid_write_key",),
    "source_config": ("missing_write_key", "invalid_write_key"),
    "token": (),
    "discard": (),
    "health": (),
    "ready": ("unavailable",),
}
"""Beside what any path can answer to what is no request for it."""
ALWAYS: tuple[RequestCode, ...] = ("method_not_allowed", "uri_too_long", "invalid_http")
_STRING: Schema = {"type": "string"}
PARAMETERS: Mapping[Purpose, tuple[Schema, ...]] = {
    "pixel": (
        {
            "name": "data",
            "in": "query",
            "description": "The event as base64 of its JSON; other keys are set into it",
            "schema": _STRING,
        },
        {"name": "writeKey", "in": "query", "schema": _STRING},
    ),
    "settings": ({"name": "writeKey", "in": "path", "required": True, "schema": _STRING},),
    "source_config": ({"name": "writeKey", "in": "query", "schema": _STRING},),
}
_IDENTITY: Schema = {"type": ["string", "number", "null"], "maxLength": 500}
_OBJECT: Schema = {"type": ["object", "null"]}
_TIME: Schema = {"type": ["string", "number", "null"]}
_NAME: Schema = {"type": ["string", "null"], "maxLength": 1024}

EVENT: Schema = {
    "type": "object",
    "description": "One event. What is not named here is kept as it comes.",
    "properties": {
        "type": {"enum": list(get_args(CallType))},
        "messageId": {"type": ["string", "null"], "description": "Shared by all copies"},
        "userId": _IDENTITY,
        "anonymousId": _IDENTITY,
        "groupId": _IDENTITY,
        "previousId": _IDENTITY,
        "event": {"type": "string", "maxLength": 1024, "description": "Of a track"},
        "name": _NAME,
        "category": _NAME,
        "properties": _OBJECT,
        "traits": _OBJECT,
        "context": _OBJECT,
        "integrations": _OBJECT,
        "timestamp": _TIME,
        "originalTimestamp": _TIME,
        "sentAt": _TIME,
        "writeKey": _STRING,
    },
    "example": {"type": "track", "event": "Order Completed", "userId": "u1", "messageId": "m1"},
}
BATCH: Schema = {
    "type": "object",
    "required": ["batch"],
    "properties": {
        "batch": {"type": "array", "items": {"$ref": "#/components/schemas/Event"}, "minItems": 1},
        "context": _OBJECT,
        "integrations": _OBJECT,
        "sentAt": _TIME,
        "writeKey": _STRING,
    },
}
REJECTION: Schema = {
    "type": "object",
    "required": ["index", "messageId", "code", "message"],
    "properties": {
        "index": {"type": "integer"},
        "messageId": {"type": ["string", "null"]},
        "code": {"enum": list(get_args(EventCode))},
        "message": _STRING,
    },
}
REJECTIONS: Schema = {"type": "array", "items": {"$ref": "#/components/schemas/Rejection"}}
COUNT: Schema = {"type": "integer", "minimum": 0}
ACCEPTED: Schema = {
    "type": "object",
    "anyOf": [{"required": ["success"]}, {"required": ["ok"]}],
    "properties": {
        "success": {"const": True},
        "ok": {"const": True, "description": "What Jitsu's clients read"},
        "received": COUNT,
        "accepted": COUNT,
        "rejected": COUNT,
        "errors": REJECTIONS,
    },
}
FAILURE: Schema = {
    "type": "object",
    "required": ["success", "code", "message"],
    "properties": {
        "success": {"const": False},
        "code": {
            "enum": sorted(
                {*get_args(EventCode), *get_args(RequestCode), *get_args(TokenError)}
                | {"all_rejected"}
            )
        },
        "message": _STRING,
        "errors": REJECTIONS,
    },
}
SCHEMAS: Mapping[str, Schema] = {
    "Event": EVENT,
    "Batch": BATCH,
    "Rejection": REJECTION,
    "Accepted": ACCEPTED,
    "Failure": FAILURE,
}
SECURITY: Mapping[str, Schema] = {
    "basic": {"type": "http", "scheme": "basic", "description": "The write key as user name"},
    "header": {"type": "apiKey", "in": "header", "name": "X-Write-Key"},
    "query": {"type": "apiKey", "in": "query", "name": "writeKey"},
    "oauth": {"type": "http", "scheme": "bearer", "description": "Besides the write key"},
}


def document() -> dict[str, Any]:
    """Everything, path by path; what many paths share stands once, among the components."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Afflux ingest",
            "version": "1",
            "description": "Takes what Segment, RudderStack and Jitsu clients send.",
        },
        "paths": {route.path: _path(route) for route in ROUTES.values()},
        "components": {
            "schemas": SCHEMAS,
            "requestBodies": {name: _body(name) for name in ("Event", "Batch")},
            "responses": {
                _named(purpose, status): response
                for purpose in get_args(Purpose)
                for status, response in _answers(purpose).items()
            },
            "securitySchemes": SECURITY,
        },
    }


def rendered() -> str:
    """The document as its file holds it."""
    return json.dumps(document(), indent=2) + "\n"


def main() -> None:
    """Write it."""
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(rendered(), encoding="utf-8")


def _path(route: Route) -> dict[str, Any]:
    return {method.lower(): _operation(route, method) for method in route.methods}


def _operation(route: Route, method: str) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": "_".join((method.lower(), *re.findall(r"\w+", route.path))),
        "summary": SUMMARIES[route.purpose],
        "responses": {
            status: {"$ref": f"#/components/responses/{_named(route.purpose, status)}"}
            for status in _answers(route.purpose)
        },
    }
    if parameters := PARAMETERS.get(route.purpose):
        operation["parameters"] = parameters
    if route.purpose == "collect":
        name = "Batch" if route.door.form == "batch" else "Event"
        operation["requestBody"] = {"$ref": f"#/components/requestBodies/{name}"}
        operation["security"] = [*({name: []} for name in ("basic", "header", "query")), {}]
    if route.purpose == "token":
        form = {FORM: {"schema": {"type": "object"}}}
        operation["requestBody"] = {"required": True, "content": form}
    return operation


def _body(name: str) -> Schema:
    schema = {"$ref": f"#/components/schemas/{name}"}
    return {"required": True, "content": {kind: {"schema": schema} for kind in BODIES}}


def _named(purpose: Purpose, status: str) -> str:
    return f"{purpose}_{status}"


def _answers(purpose: Purpose) -> dict[str, Schema]:
    """Status → what it means; the codes of one status share its answer."""
    codes: dict[int, list[str]] = {}
    for code in (*REFUSED[purpose], *ALWAYS):
        is_of_document = code == "invalid_write_key" and purpose != "collect"
        codes.setdefault(404 if is_of_document else REFUSALS[code][0], []).append(code)
    if purpose == "token":
        for error, status in TOKEN_ERRORS.items():
            codes.setdefault(status, []).append(error)
    failures = {
        str(status): {"description": ", ".join(names), **_content("Failure")}
        for status, names in sorted(codes.items())
    }
    return {"200": _success(purpose), **failures}


def _success(purpose: Purpose) -> Schema:
    match purpose:
        case "pixel":
            image = {"schema": {"type": "string", "format": "binary"}}
            return {"description": "An image of one point", "content": {"image/gif": image}}
        case "settings" | "source_config" | "token":
            content = {JSON: {"schema": {"type": "object"}}}
            return {"description": "The document", "content": content}
        case _:
            return {"description": "Done", **_content("Accepted")}


def _content(name: str) -> dict[str, Any]:
    return {"content": {JSON: {"schema": {"$ref": f"#/components/schemas/{name}"}}}}


if __name__ == "__main__":
    main()
