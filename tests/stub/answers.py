"""An answer for each row of a contract: what the platform says when that is what it means."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.activator.domain.contract import Contract, Row
from services.activator.domain.naming import Place
from services.activator.domain.outcomes import Response

BAD = 1
"""The position of the item that an answer finds fault with, unless told others."""

TEXTS: Mapping[str, str] = {
    r"^destinations\[(\d+)\]": "destinations[0].product_destination_id",
    r"(?:audience_members|events)\[(\d+)\]": "audience_members[{bad}].user_data",
    r"(?:Batch|data)\.(\d+)\.": "Batch.{bad}.event_time is wrong",
    r"Index: (\d+), ERROR": "Index: {bad}, ERROR :: /conversionValue/amount :: is missing",
    "method should be CONVERSIONS_API": "the rule's method should be CONVERSIONS_API",
    r"indices \[(.*)\]": "wrong at indices [{bad}] (0-indexed)",
    r"item #(\d+)": "Invalid UID2, item #{after}",
    "Duplicate IDs found in batch input": "Duplicate IDs found in batch input: [x].",
    "Property .* does not exist": 'Property "plan" does not exist',
    r"^/data(?:/attributes/[\w-]+/data)?/(\d+)(?:/|$)": "/data/attributes/events-bulk-create"
    "/data/{bad}/attributes/events/data/0/attributes/time",
    r"obj\.\w+\[(\d+)\]": "obj.events[{bad}].createdAt",
    r"id=([\w-]+)": "A contact matching those details already exists with id=5f4d3c1c-1",
    "Custom attribute .* does not exist": "Custom attribute 'plan' does not exist",
    "(?i)not ?found|does not exist": "User not found",
}
"""A text that each pattern of a contract is found in; `{bad}` is the position of the bad item."""


@dataclass(frozen=True, slots=True)
class Items:
    """The items of a request, and at which of them the platform finds fault."""

    places: Sequence[Place]
    bad: Sequence[int]
    row: Row
    """What the answer is about, which says how a platform names an item."""

    @property
    def wrong(self) -> Sequence[Place]:
        return [self.places[index] for index in self.bad]

    def texts(self, pattern: str) -> list[str]:
        """What is said of each bad one; the same of all is said once."""
        said = [TEXTS[pattern].format(bad=index, after=index + 1) for index in self.bad]
        return [*dict.fromkeys(said)]

    def text(self, pattern: str) -> str:
        return "\n".join(self.texts(pattern))


def status_of(row: Row, contract: Contract) -> int:
    """The status that the answer comes with."""
    if row.http_range is not None:
        return row.http_range[0]
    if row.http:
        return row.http[0]
    return 200 if contract.partial_errors_per_item else 400


def answer_for(
    row: Row, contract: Contract, places: Sequence[Place], bad: Sequence[int] = (BAD,)
) -> Response:
    """What the platform answers when the row is meant, and the items at `bad` are the bad ones."""
    match = dict(row.match or {})
    status, headers = status_of(row, contract), {"content-type": "application/json"}
    if "content_type" in match:
        return Response(status, {"content-type": match["content_type"]}, b"<html></html>")
    if "empty_body" in match:
        return Response(status, {}, b"")
    if "text" in match:
        return Response(status, {"content-type": "text/plain"}, match["text"][0].encode())
    body = _body(match, row, contract, Items(places, bad, row))
    return Response(status, headers, json.dumps(body).encode())


def _body(match: Mapping[str, Any], row: Row, contract: Contract, items: Items) -> Any:
    if "any_item_code" in match or ("item_success" in match and not row.applies_to):
        return _lines(match.get("any_item_code", ("OTHER",))[0], items)
    if "any_error_code" in match or match.get("has") == "partialFailureError":
        code = _value(match.get("any_error_code", ("UNKNOWN_TO_US",)))
        return _error_codes(code, contract, status_of(row, contract), items)
    body: dict[str, Any] = {}
    for key, wanted in match.items():
        _write(body, key, wanted, items)
    if row.applies_to == ("poll",):
        return _job(match, items) | body
    return body


def _lines(code: str, items: Items) -> list[Any]:
    good: dict[str, Any] = {"id": "003", "success": True, "errors": []}
    bad = {"success": False, "errors": [{"statusCode": code, "message": "no"}]}
    return [bad if place.index in items.bad else good for place in items.places]


def _error_codes(code: Any, contract: Contract, status: int, items: Items) -> Any:
    if not contract.partial_errors_per_item:
        return [{"message": "no", "errorCode": code}]
    if status != 200:
        failure = {"errors": [{"errorCode": {"oneError": code}, "message": "no"}]}
        return {"error": {"code": status, "message": "no", "details": [failure]}}
    places = [{"fieldName": "operations", "index": index} for index in items.bad]
    wheres = [{"fieldPathElements": [place]} for place in places]
    error = {"errorCode": {"oneError": code}, "message": "no"}
    errors = [error | {"location": where} for where in wheres]
    return {"partialFailureError": {"code": 3, "details": [{"errors": errors}]}, "results": []}


def _job(match: Mapping[str, Any], items: Items) -> dict[str, Any]:
    state = match.get("job_status.status", ("completed",))[0]
    good = {"success": True, "status": "Updated"}
    pattern = match.get("item_message")
    text = items.text(pattern) if pattern else "wrong"
    bad = {"success": False, "status": "Failed", "error": "UserError", "details": text}
    results = [bad if place.index in items.bad else good for place in items.places]
    return {"job_status": {"id": "j", "status": state, "results": results}}


def _write(body: dict[str, Any], key: str, wanted: Any, items: Items) -> None:
    if key == "message" and "errors" in body:
        body["errors"][0]["message"] = items.text(wanted)
    elif key == "has":
        _fill(body, wanted, items)
    elif key in PARTS:
        body |= PARTS[key](wanted, items)
    elif key in IN_ERROR:
        _error(body).setdefault("details", []).append(IN_ERROR[key](wanted, items))
    elif key != "item_success":
        _set(body, key, _value(wanted))


Part = Callable[[Any, Items], dict[str, Any]]
PARTS: Mapping[str, Part] = {
    "any_code": lambda wanted, _: {"errors": [{"code": _value(wanted)}]},
    "message": lambda wanted, items: {"message": items.text(wanted)},
    "pointer": lambda wanted, items: {
        "errors": [{"source": {"pointer": text}} for text in items.texts(wanted)]
    },
    "params_key": lambda wanted, items: {
        "params": dict.fromkeys(items.texts(wanted), "is wrong"),
    },
    "item_message": lambda wanted, items: {
        "FailedLines": [{"ErrorCode": "X", "Message": text} for text in items.texts(wanted)]
    },
    "item_error_code": lambda wanted, items: {
        "errors": [
            {"email_address": place.names[0], "error_code": _value(wanted)} for place in items.wrong
        ],
        "total_created": 2,
    },
    "index_field": lambda wanted, items: {
        "errors": [{wanted: index, "reason": "invalid"} for index in items.bad]
    },
    "message_is": lambda wanted, _: {"message": wanted[0]},
    "message_not": lambda _, items: {"message": "no", "errors": _positions(items)},
    "failCount_gt": lambda wanted, items: {
        "successCount": 2,
        "failCount": wanted + len(items.bad),
        "failedUpdates": {"invalidEmails": [place.names[0] for place in items.wrong]},
    },
    "empty": lambda wanted, _: {name: [] for name in wanted},
    "sqlstate": lambda wanted, _: {"sqlstate": _value(wanted)},
}
"""What a key of a match puts into the body."""
IN_ERROR: Mapping[str, Part] = {
    "any_reason": lambda wanted, _: {"reason": _value(wanted)},
    "violation_path": lambda wanted, items: {
        "fieldViolations": [{"field": text, "reason": "INVALID"} for text in items.texts(wanted)]
    },
}
"""What it puts into the details of Google's error object."""


def _fill(body: dict[str, Any], name: str, items: Items) -> None:
    """The part of an answer that is there only when something is wrong."""
    values: dict[str, Any] = {
        "elements": [{"status": 400 if p.index in items.bad else 201} for p in items.places],
        "FailedLines": body.get("FailedLines"),
        "recordIdsMissing": [place.names[0] for place in items.wrong],
    }
    if name == "errors":
        body.setdefault("errors", _positions(items))
    elif name == "errors[0].meta.duplicate_profile_id":
        body["errors"] = [{"code": "duplicate_profile", "meta": {"duplicate_profile_id": "01GW"}}]
    else:
        body.setdefault(name, values[name])


def _positions(items: Items) -> list[Any]:
    """The bad items, each named as the platform does it: by address, trace id or position."""
    if items.row.item_values is not None:
        return [{"error": "wrong", "email_addresses": [bad.names[0]]} for bad in items.wrong]
    if items.row.outcome == "ITEM_BY_TRACE_ID_PERMANENT":
        return [{"context": {"objectWriteTraceId": [bad.names[0]]}} for bad in items.wrong]
    return [
        {"type": "wrong", "input_array": bad.array, "index": bad.array_index} for bad in items.wrong
    ]


def _error(body: dict[str, Any]) -> dict[str, Any]:
    error: dict[str, Any] = body.setdefault("error", {"status": "INVALID_ARGUMENT"})
    return error


def _set(body: dict[str, Any], path: str, value: Any) -> None:
    *above, last = path.split(".")
    for name in above:
        if name.endswith("[]"):
            (body,) = body.setdefault(name[:-2], [{}])
        else:
            body = body.setdefault(name, {})
    body[last] = value


def _value(wanted: Sequence[Any]) -> Any:
    """The first that is allowed: of a range its beginning, of a prefix something behind it."""
    first = wanted[0]
    if isinstance(first, str) and first.endswith("*"):
        return f"{first[:-1]}X" if not first[:-1].isdigit() else f"{first[:-1]}001"
    if isinstance(first, str) and first.partition("-")[0].isdigit() and "-" in first:
        return int(first.partition("-")[0])
    return first
