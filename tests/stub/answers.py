"""An answer for each row of a contract: what the platform says when that is what it means."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from services.activator.domain.contract import Contract, Row
from services.activator.domain.naming import Place
from services.activator.domain.outcomes import Response

BAD = 1
"""The position of the item that an answer finds fault with."""

TEXTS: Mapping[str, str] = {
    r"^destinations\[(\d+)\]": "destinations[0].product_destination_id",
    r"(?:audience_members|events)\[(\d+)\]": f"audience_members[{BAD}].user_data",
    r"(?:Batch|data)\.(\d+)\.": f"Batch.{BAD}.event_time is wrong",
    r"Index: (\d+), ERROR": f"Index: {BAD}, ERROR :: /conversionValue/amount :: is missing",
    "method should be CONVERSIONS_API": "the rule's method should be CONVERSIONS_API",
    r"indices \[(.*)\]": f"wrong at indices [{BAD}] (0-indexed)",
    r"item #(\d+)": f"Invalid UID2, item #{BAD + 1}",
    "Duplicate IDs found in batch input": "Duplicate IDs found in batch input: [x].",
    "Property .* does not exist": 'Property "plan" does not exist',
    r"^/data(?:/attributes/[\w-]+/data)?/(\d+)(?:/|$)": "/data/attributes/events-bulk-create"
    f"/data/{BAD}/attributes/events/data/0/attributes/time",
    r"obj\.\w+\[(\d+)\]": f"obj.events[{BAD}].createdAt",
    r"id=([\w-]+)": "A contact matching those details already exists with id=5f4d3c1c-1",
    "Custom attribute .* does not exist": "Custom attribute 'plan' does not exist",
    "(?i)not ?found|does not exist": "User not found",
}
"""A text that each pattern of a contract is found in."""


def status_of(row: Row, contract: Contract) -> int:
    """The status that the answer comes with."""
    if row.http_range is not None:
        return row.http_range[0]
    if row.http:
        return row.http[0]
    return 200 if contract.partial_errors_per_item else 400


def answer_for(row: Row, contract: Contract, places: Sequence[Place]) -> Response:
    """What the platform answers when the row is meant, the item at `BAD` being the bad one."""
    match = dict(row.match or {})
    status, headers = status_of(row, contract), {"content-type": "application/json"}
    if "content_type" in match:
        return Response(status, {"content-type": match["content_type"]}, b"<html></html>")
    if "empty_body" in match:
        return Response(status, {}, b"")
    if "text" in match:
        return Response(status, {"content-type": "text/plain"}, match["text"][0].encode())
    body = _body(match, row, contract, places)
    return Response(status, headers, json.dumps(body).encode())


def _body(match: Mapping[str, Any], row: Row, contract: Contract, places: Sequence[Place]) -> Any:
    if "any_item_code" in match or ("item_success" in match and not row.applies_to):
        return _lines(match.get("any_item_code", ("OTHER",))[0], len(places))
    if "any_error_code" in match or match.get("has") == "partialFailureError":
        code = _value(match.get("any_error_code", ("UNKNOWN_TO_US",)))
        return _error_codes(code, contract, status_of(row, contract))
    body: dict[str, Any] = {}
    for key, wanted in match.items():
        _write(body, key, wanted, places)
    if row.applies_to == ("poll",):
        return _job(match, len(places)) | body
    return body


def _lines(code: str, count: int) -> list[Any]:
    good: dict[str, Any] = {"id": "003", "success": True, "errors": []}
    bad = {"success": False, "errors": [{"statusCode": code, "message": "no"}]}
    return [bad if index == BAD else good for index in range(count)]


def _error_codes(code: Any, contract: Contract, status: int) -> Any:
    if not contract.partial_errors_per_item:
        return [{"message": "no", "errorCode": code}]
    if status != 200:
        failure = {"errors": [{"errorCode": {"oneError": code}, "message": "no"}]}
        return {"error": {"code": status, "message": "no", "details": [failure]}}
    where = {"fieldPathElements": [{"fieldName": "operations", "index": BAD}]}
    error = {"errorCode": {"oneError": code}, "message": "no", "location": where}
    return {"partialFailureError": {"code": 3, "details": [{"errors": [error]}]}, "results": []}


def _job(match: Mapping[str, Any], count: int) -> dict[str, Any]:
    state = match.get("job_status.status", ("completed",))[0]
    good = {"success": True, "status": "Updated"}
    text = TEXTS.get(match.get("item_message", ""), "wrong")
    bad = {"success": False, "status": "Failed", "error": "UserError", "details": text}
    results = [bad if index == BAD else good for index in range(count)]
    return {"job_status": {"id": "j", "status": state, "results": results}}


def _write(body: dict[str, Any], key: str, wanted: Any, places: Sequence[Place]) -> None:
    if key == "message" and "errors" in body:
        body["errors"][0]["message"] = TEXTS[wanted]
    elif key == "has":
        _fill(body, wanted, places)
    elif key in PARTS:
        body |= PARTS[key](wanted, places)
    elif key in IN_ERROR:
        _error(body).setdefault("details", []).append(IN_ERROR[key](wanted))
    elif key != "item_success":
        _set(body, key, _value(wanted))


Part = Callable[[Any, Sequence[Place]], dict[str, Any]]
PARTS: Mapping[str, Part] = {
    "any_code": lambda wanted, _: {"errors": [{"code": _value(wanted)}]},
    "message": lambda wanted, _: {"message": TEXTS[wanted]},
    "pointer": lambda wanted, _: {"errors": [{"source": {"pointer": TEXTS[wanted]}}]},
    "params_key": lambda wanted, _: {"params": {TEXTS[wanted]: "is wrong"}},
    "item_message": lambda wanted, _: {
        "FailedLines": [{"ErrorCode": "X", "Message": TEXTS[wanted]}]
    },
    "item_error_code": lambda wanted, places: {
        "errors": [{"email_address": places[BAD].names[0], "error_code": _value(wanted)}],
        "total_created": 2,
    },
    "index_field": lambda wanted, _: {"errors": [{wanted: BAD, "reason": "invalid"}]},
    "message_is": lambda wanted, _: {"message": wanted[0]},
    "message_not": lambda _, places: {"message": "no", "errors": _positions(places)},
    "failCount_gt": lambda wanted, places: {
        "successCount": 2,
        "failCount": wanted + 1,
        "failedUpdates": {"invalidEmails": [places[BAD].names[0]]},
    },
    "empty": lambda wanted, _: {name: [] for name in wanted},
    "sqlstate": lambda wanted, _: {"sqlstate": _value(wanted)},
}
"""What a key of a match puts into the body."""
IN_ERROR: Mapping[str, Callable[[Any], dict[str, Any]]] = {
    "any_reason": lambda wanted: {"reason": _value(wanted)},
    "violation_path": lambda wanted: {
        "fieldViolations": [{"field": TEXTS[wanted], "reason": "INVALID"}]
    },
}
"""What it puts into the details of Google's error object."""


def _fill(body: dict[str, Any], name: str, places: Sequence[Place]) -> None:
    """The part of an answer that is there only when something is wrong."""
    values: dict[str, Any] = {
        "elements": [{"status": 400 if index == BAD else 201} for index in range(len(places))],
        "FailedLines": body.get("FailedLines"),
        "recordIdsMissing": [places[BAD].names[0]],
    }
    if name == "errors":
        body.setdefault("errors", _positions(places))
    elif name == "errors[0].meta.duplicate_profile_id":
        body["errors"] = [{"code": "duplicate_profile", "meta": {"duplicate_profile_id": "01GW"}}]
    else:
        body.setdefault(name, values[name])


def _positions(places: Sequence[Place]) -> list[Any]:
    """The bad item named in every way at once, as the platforms do one by one."""
    bad = places[BAD]
    return [
        {
            "type": "wrong",
            "input_array": bad.array,
            "index": bad.array_index,
            "context": {"objectWriteTraceId": [bad.names[0]]},
            "email_addresses": [bad.names[0]],
        }
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
