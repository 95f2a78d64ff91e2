"""Part of a request fails: the second item is refused in the platform's own words, the rest is
applied, or nothing is where the platform takes all or none."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from services.activator.domain.naming import Place
from services.activator.domain.outcomes import Response
from tests.stub.answers import BAD, answer_for
from tests.stub.world import Call, World

ITEMS: Mapping[str, tuple[str, ...]] = {
    "braze": ("attributes", "events", "purchases"),
    "customerio": ("batch",),
    "google_ads_conversions": ("conversions", "conversionAdjustments"),
    "google_ads_customer_match": ("operations",),
    "google_data_manager": ("audienceMembers", "events"),
    "hubspot": ("inputs",),
    "iterable": ("subscribers",),
    "linkedin_conversions": ("elements",),
    "linkedin_dmp": ("elements",),
    "mailchimp": ("members_to_add",),
    "salesforce": ("records",),
    "tiktok_audiences": ("batch_data",),
    "tiktok_events": ("data",),
    "zendesk": ("users",),
}
"""Platform → the lists in its bodies that hold items it can refuse one by one."""
ROWS: Mapping[str, str] = {
    "braze": "partial",
    "customerio": "multi_status",
    "google_ads_conversions": "partial",
    "google_ads_customer_match": "partial",
    "google_data_manager": "bad_items",
    "hubspot": "multi_status",
    "iterable": "values",
    "linkedin_conversions": "elements",
    "linkedin_dmp": "elements",
    "mailchimp": "segment_errors",
    "salesforce": "item_error",
    "tiktok_audiences": "bad_item",
    "tiktok_events": "bad_item",
}
"""Platform → the row of its contract that the answer is about."""
NAMES = ("objectWriteTraceId", "userId", "email")
"""Where the own name of an item is, for platforms that name the bad one by it."""


def list_in(call: Call, name: str) -> str | None:
    """The list of the call's body whose second item can be refused; None if it has no second."""
    body = call.body
    if not isinstance(body, dict) or call.method == "GET" or ":create" in call.path:
        return None
    lists = (key for key in ITEMS.get(name, ()) if isinstance(body.get(key), list))
    return next((key for key in lists if len(body[key]) > BAD), None)


def partly(
    world: World, call: Call, key: str, apply: Callable[[World, Call], Response]
) -> Response:
    """The answer to a call of which one item is refused."""
    body: dict[str, Any] = call.body
    items = body[key]
    without = body | {key: [item for index, item in enumerate(items) if index != BAD]}
    rest = replace(call, content=json.dumps(without).encode())
    if world.name == "zendesk":
        return _job(world, apply(world, rest))
    row = next(row for row in world.contract.errors if row.name == ROWS[world.name])
    done: Any = None
    if row.outcome != "ITEM_PERMANENT_REST_RESENT":
        answer = apply(world, rest)
        if answer.status >= 300:
            return answer
        done = json.loads(answer.body)
    array = key if world.name == "braze" else ""
    places = [
        Place(index, names=(_name(item),), array=array, array_index=index)
        for index, item in enumerate(items)
    ]
    refused = answer_for(row, world.contract, places)
    told = json.loads(refused.body)
    both = done | told if isinstance(done, dict) and isinstance(told, dict) else told
    return replace(refused, body=json.dumps(both).encode())


def _name(item: Any) -> str:
    if isinstance(item, dict):
        return next((str(item[name]) for name in NAMES if name in item), "")
    return str(item)


def _job(world: World, answer: Response) -> Response:
    """The item is refused where the job's results are read."""
    made = json.loads(answer.body).get("job_status", {}).get("id")
    if made is not None:
        refused = {"status": "Failed", "error": "UserError", "details": "wrong"}
        world.jobs[made]["results"].insert(BAD, refused)
    return answer
