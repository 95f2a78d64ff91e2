"""What is read from an answer beside what it means for the items."""

import json
from typing import Any

import pytest

from services.activator.domain.answer import Answer
from services.activator.domain.outcomes import Response


@pytest.mark.parametrize(
    ("headers", "body", "found"),
    [
        ({"x-request-id": "r-1"}, {"requestId": "r-2"}, "r-1"),
        ({}, {"requestId": "t-59f8"}, "t-59f8"),
        ({}, {"error": {"code": 100, "fbtrace_id": "A1"}}, "A1"),
        ({}, {"error": {"details": [{"reason": "X"}, {"requestId": "t-1"}]}}, "t-1"),
        ({}, {"code": 0, "request_id": "20260115", "data": {}}, "20260115"),
        ({}, {"status": "error", "correlationId": "c-1"}, "c-1"),
        ({"x-li-uuid": "AAY/+x=="}, {}, "AAY/+x=="),
        ({"x-request-id": "jane@example.com"}, {"request_id": "q"}, "q"),
        ({}, {"request_id": "x" * 101}, None),
        ({}, {"request_id": 5}, None),
        ({}, [], None),
    ],
)
def test_s7_a_request_has_an_id_of_the_platforms(
    headers: dict[str, str], body: Any, found: str | None
) -> None:
    assert Answer(Response(200, headers, json.dumps(body).encode())).request_id == found
