"""Part of a request fails: some items are refused in the platform's own words, the rest is applied,
or nothing is where the platform takes all or none."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from services.activator.domain.naming import Place
from services.activator.domain.outcomes import Response
from tests.stub.answers import answer_for
from tests.stub.world import Call, World

JOB = "job"
"""The item is refused where the results of the job are read."""
ITEMS: Mapping[str, Mapping[str, str]] = {
    "braze": dict.fromkeys(("attributes", "events", "purchases"), "partial"),
    "customerio": {"batch": "multi_status"},
    "google_ads_conversions": {"conversions": "partial", "conversionAdjustments": "partial"},
    "google_ads_customer_match": {"operations": "partial"},
    "google_data_manager": {"audienceMembers": "bad_items", "events": "bad_items"},
    "hubspot": {"inputs": "multi_status", "recordIdsToAdd": "missing_on_add"},
    "iterable": dict.fromkeys(("subscribers", "users", "events"), "values"),
    "klaviyo": dict.fromkeys(
        ("data.attributes.profiles.data", "data.attributes.events-bulk-create.data"), "pointed"
    ),
    "linkedin_conversions": {"elements": "elements"},
    "linkedin_dmp": {"elements": "elements"},
    "mailchimp": {"members_to_add": "segment_errors", "members": "item_generic"},
    "salesforce": {"records": "item_error"},
    "tiktok_audiences": {"batch_data": "bad_item"},
    "tiktok_events": {"data": "bad_item"},
    "trade_desk_first_party": {"Items": "failed_lines"},
    "zendesk": {"users": JOB},
}
"""Platform → the lists in its bodies whose items it can refuse one by one, each with the row of its
contract that the answer is then about. The others answer for a request as a whole, or in counts."""
WHOLE = ("offlineUserDataJobs:create", "/events/v3/send/batch")
"""How paths end of calls without items, or of which none is refused alone."""
NAMES = ("objectWriteTraceId", "userId", "email", "email_address")
"""Where the own name of an item is, for platforms that name the bad one by it."""


def list_in(call: Call, name: str, bad: Sequence[int]) -> str | None:
    """The list of the call's body of which these items can be refused; None if it has not all."""
    if not isinstance(call.body, dict) or call.method == "GET" or call.path.endswith(WHOLE):
        return None
    return next((path for path in ITEMS.get(name, ()) if _reaches(call, path, max(bad))), None)


def _reaches(call: Call, path: str, index: int) -> bool:
    found = _at(call.body, path)
    return isinstance(found, list) and len(found) > index


def partly(
    world: World, call: Call, bad: Sequence[int], apply: Callable[[World, Call], Response]
) -> Response:
    """The answer to a call of which these items are refused; the others are applied."""
    path = list_in(call, world.name, bad)
    assert path is not None
    items = _at(call.body, path)
    kept = [item for index, item in enumerate(items) if index not in bad]
    rest = replace(call, content=json.dumps(_with(call.body, path.split("."), kept)).encode())
    if ITEMS[world.name][path] == JOB:
        return _job(world, apply(world, rest), bad)
    row = next(row for row in world.contract.errors if row.name == ITEMS[world.name][path])
    done: Any = None
    if row.outcome != "ITEM_PERMANENT_REST_RESENT":
        answer = apply(world, rest)
        if answer.status >= 300:
            return answer
        done = json.loads(answer.body)
    array = path if world.name == "braze" else ""
    places = [
        Place(index, names=(_name(item),), array=array, array_index=index)
        for index, item in enumerate(items)
    ]
    refused = answer_for(row, world.contract, places, bad)
    told = json.loads(refused.body)
    both = done | told if isinstance(done, dict) and isinstance(told, dict) else told
    return replace(refused, body=json.dumps(both).encode())


def _at(body: Any, path: str) -> Any:
    for name in path.split("."):
        body = body.get(name) if isinstance(body, dict) else None
    return body


def _with(body: Any, path: Sequence[str], items: Sequence[Any]) -> Any:
    """The body with other items at that place."""
    if not path:
        return items
    return body | {path[0]: _with(body[path[0]], path[1:], items)}


def _name(item: Any) -> str:
    if isinstance(item, dict):
        return next((str(item[name]) for name in NAMES if name in item), "")
    return str(item)


def _job(world: World, answer: Response, bad: Sequence[int]) -> Response:
    made = json.loads(answer.body).get("job_status", {}).get("id")
    if made is not None:
        for index in sorted(bad):
            refused = {"status": "Failed", "error": "UserError", "details": "wrong"}
            world.jobs[made]["results"].insert(index, refused)
    return answer
