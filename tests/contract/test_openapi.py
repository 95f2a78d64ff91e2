"""The OpenAPI file says what there is; requests made up from it are all answered as §1 demands.

`AFFLUX_EXAMPLES` sets how many requests are made up for each path.
"""

import os
from typing import Any, get_args

import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from services.ingest.domain.codes import EventCode, RequestCode
from services.ingest.openapi import FILE, document, rendered
from services.ingest.routes import ROUTES
from tests.contract.ingest_server import Ingest

EXAMPLES = int(os.environ.get("AFFLUX_EXAMPLES", "3"))
PAGE = "https://page.example"

ONE_OF_A_KIND = list({(one.purpose, one.door): one.path for one in ROUTES.values()}.values())
"""Paths that only another name leads to are handled by the same words."""
SCHEMA = schemathesis.openapi.from_dict(document()).include(path=ONE_OF_A_KIND)
SCHEMA.config.phases.coverage.enabled = False


def test_the_committed_file_is_up_to_date() -> None:
    """If it is not: python -m services.ingest.openapi."""
    assert FILE.read_text(encoding="utf-8") == rendered()


def test_every_path_method_and_code_is_in_it() -> None:
    whole = document()
    assert set(whole["paths"]) == set(ROUTES)
    for path, operations in whole["paths"].items():
        assert set(operations) == {method.lower() for method in ROUTES[path].methods}
    codes = set(whole["components"]["schemas"]["Failure"]["properties"]["code"]["enum"])
    assert codes >= {*get_args(EventCode), *get_args(RequestCode)}


@SCHEMA.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize="AFFLUX_EXAMPLES" not in os.environ,
    suppress_health_check=list(HealthCheck),
)
def test_s1_whatever_is_sent_is_answered_with_json_and_cors(
    case: Case[Any], server: Ingest
) -> None:
    headers = {"Origin": PAGE, "X-Write-Key": "WK"}
    response = case.call(base_url=server.url, headers=headers)
    case.validate_response(
        response,
        checks=[
            not_a_server_error,
            status_code_conformance,
            content_type_conformance,
            response_schema_conformance,
        ],
    )
    assert response.headers["access-control-allow-origin"] == [PAGE]
    if response.headers["content-type"] == ["image/gif"] or case.method == "HEAD":
        assert response.status_code == 200 or case.method == "HEAD"
        return
    answer = response.json()
    assert isinstance(answer, dict)
    if response.status_code != 200:
        assert isinstance(answer["code"], str)
        assert isinstance(answer["message"], str)
