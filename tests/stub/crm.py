"""The CRM platforms: records by ids of theirs or ours."""

import re
from typing import Any
from urllib.parse import unquote

from services.activator.domain.outcomes import Response
from tests.stub.world import Call, Refused, World, at_most, demand, ok, only


def hubspot(call: Call, world: World) -> Response:
    if call.path.startswith("/crm/v3/lists/object-type-id/"):
        made = world.audiences.get(unquote(call.path.rpartition("/")[2]))
        if made is None:
            return ok({"status": "error", "message": "List does not exist"}, 400)
        return ok({"list": {"listId": made}})
    if call.path == "/crm/v3/lists":
        return ok({"list": {"listId": world.audience(call.body["name"])}})
    if call.path.endswith("/batch/upsert"):
        return _contacts(call, world)
    if call.path == "/events/v3/send/batch":
        for event in at_most(
            only(call.body, "inputs", row="validation")["inputs"], 500, "validation"
        ):
            demand(re.fullmatch("pe[0-9]+_[a-z0-9_]+", event["eventName"]), "validation")
            demand(all(isinstance(v, str) for v in event["properties"].values()), "validation")
            demand({"email", "objectId", "utk"} & set(event), "validation")
            world.happened(event["uuid"], event)
        return ok(status=204)
    body = only(call.body, "recordIdsToAdd", "recordIdsToRemove", row="validation")
    audience = call.path.split("/")[4]
    known = {own: key for key, own in world.people.items()}
    adds, removes = body["recordIdsToAdd"], body["recordIdsToRemove"]
    demand(len(adds) + len(removes) <= 1000, "validation")
    missing = [one for one in (*adds, *removes) if one not in known]
    world.change(audience, [known[one] for one in adds if one in known], member=True)
    world.change(audience, [known[one] for one in removes if one in known], member=False)
    return ok({"recordsIdsAdded": adds, "recordIdsRemoved": removes, "recordIdsMissing": missing})


def _contacts(call: Call, world: World) -> Response:
    inputs: list[Any] = at_most(
        only(call.body, "inputs", row="validation")["inputs"], 100, "validation"
    )
    if len({one["id"] for one in inputs}) != len(inputs):
        raise Refused("duplicate_ids")
    properties = [pair for one in inputs for pair in one["properties"].items()]
    demand(all(isinstance(v, str) and k == k.lower() for k, v in properties), "validation")
    demand(all(isinstance(one["id"], str) for one in inputs), "validation")
    results = [
        {"id": world.person(one["id"]), "objectWriteTraceId": one["objectWriteTraceId"]}
        for one in inputs
    ]
    return ok({"status": "COMPLETE", "results": results})


def salesforce(call: Call, world: World) -> Response:
    if call.path.endswith("/describe"):
        others = [{"name": f"Field_{n}__c", "label": "as long as it is there"} for n in range(2000)]
        return ok({"fields": [*others, {"name": "CDP_Id__c"}, {"name": "cdp_vip__c"}]})
    body = only(call.body, "allOrNone", "records", row="malformed")
    key = call.path.rpartition("/")[2]
    results = []
    records: list[Any] = at_most(body["records"], 200, "malformed")
    demand(len({record[key] for record in records}) == len(records), "malformed")
    demand(len({record["attributes"]["type"] for record in records}) == 1, "malformed")
    demand(body["allOrNone"] is False, "malformed")
    for record in records:
        own = record[key]
        demand("id" not in {name.lower() for name in record}, "malformed")
        if key == "Event_Id__c":
            world.happened(own, record)
        if "cdp_vip__c" in record:
            world.change("cdp_vip__c", [own], member=record["cdp_vip__c"])
        results.append({"id": world.person(own), "success": True, "errors": []})
    return ok(results)


def zendesk(call: Call, world: World) -> Response:
    if call.path == "/user_fields":
        if call.method == "GET":
            listed, after = world.page(call.query.get("page"))
            following = f"https://x/user_fields?page={after}" if after else None
            fields = [{"key": key} for key, _ in listed]
            return ok({"user_fields": fields, "next_page": following})
        world.audiences[call.body["user_field"]["key"]] = call.body["user_field"]["key"]
        return ok({"user_field": call.body["user_field"]}, 201)
    if call.path.startswith("/job_statuses/"):
        return ok({"job_status": world.jobs[call.path.rpartition("/")[2]]})
    users = at_most(only(call.body, "users", row="invalid")["users"], 100, "invalid")
    results: list[dict[str, Any]] = []
    for user in users:
        own, makes = user["external_id"], call.path.endswith("create_or_update_many")
        if makes:
            if not user.get("name"):
                raise Refused("invalid")
            world.person(own)
        if own not in world.people:
            results.append({"status": "Failed", "error": "NotFound", "details": "User not found"})
            continue
        for key, value in user.get("user_fields", {}).items():
            if isinstance(value, bool):
                world.change(key, [own], member=value)
        results.append({"success": True, "status": "Updated"})
    job = f"job-{next(world.numbers)}"
    world.jobs[job] = {"id": job, "status": "completed", "results": results}
    return ok({"job_status": {"id": job, "status": "queued"}})
