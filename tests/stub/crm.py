"""The CRM and messaging platforms, and those that take anything."""

import hashlib
import json
import re
from typing import Any
from urllib.parse import unquote

from services.activator.domain.outcomes import Response
from tests.stub.world import Call, Refused, World, at_most, demand, ok, only

E164 = re.compile(r"\+[1-9][0-9]{7,14}")
ULID = re.compile("[0-9A-HJKMNP-TV-Z]{26}")
STATUSES = ("subscribed", "unsubscribed", "pending", "transactional")


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
        return ok({"fields": [{"name": "CDP_Id__c"}, {"name": "cdp_vip__c"}]})
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


def braze(call: Call, world: World) -> Response:
    body = only(call.body, "attributes", "events", "purchases", row="fatal")
    at_most([entry for entries in body.values() for entry in entries], 75, "fatal")
    for entry in body.get("purchases", ()):
        demand(isinstance(entry["quantity"], int) and entry["quantity"] > 0, "fatal")
    for entry in body.get("attributes", ()):
        world.person(entry["external_id"])
        if "cdp_vip" in entry:
            world.change("cdp_vip", [entry["external_id"]], member=entry["cdp_vip"])
    for name in ("events", "purchases"):
        for entry in body.get(name, []):
            world.happened(f"{entry['external_id']}|{entry.get('name')}|{entry['time']}", entry)
    counts = {f"{name}_processed": len(entries) for name, entries in body.items()}
    return ok({"message": "success", **counts}, 201)


def klaviyo(call: Call, world: World) -> Response:
    if call.headers.get("revision") != world.contract.api_version:
        raise Refused("invalid")
    if call.path == "/api/lists" and call.method == "GET":
        wanted = call.query["filter"].partition('"')[2].rpartition('"')[0]
        listed = [
            {"id": made, "attributes": {"name": name}}
            for name, made in world.audiences.items()
            if name == wanted
        ]
        return ok({"data": listed})
    if call.method == "GET":
        status = {"status": "complete", "failed_count": 0}
        job = {"type": "profile-bulk-import-job", "id": "job", "attributes": status}
        return ok({"data": job})
    data = only(call.body, "data", row="invalid")["data"]
    if call.path == "/api/lists":
        return ok({"data": {"id": world.audience(data["attributes"]["name"])}}, 201)
    if call.path == "/api/profile-import":
        return ok({"data": {"type": "profile", "id": world.person(_who(data))}}, 201)
    if call.path.endswith("-jobs") or "-jobs/" in call.path:
        return _klaviyo_job(data, world)
    if call.path == "/api/events":
        demand(data["type"] == "event" and len(data["attributes"]["properties"]) <= 400, "invalid")
        world.happened(data["attributes"]["unique_id"], data)
        return ok(status=202)
    known = {own: key for key, own in world.people.items()}
    people = [known[one["id"]] for one in at_most(data, 1000, "invalid")]
    world.change(call.path.split("/")[3], people, member=call.method == "POST")
    return ok(status=204)


def _klaviyo_job(data: Any, world: World) -> Response:
    attributes = data["attributes"]
    if data["type"] == "event-bulk-create-job":
        for one in at_most(attributes["events-bulk-create"]["data"], 1000, "invalid"):
            for event in one["attributes"]["events"]["data"]:
                _who(one["attributes"]["profile"]["data"])
                world.happened(event["attributes"]["unique_id"], event)
        return ok(status=202)
    for profile in at_most(attributes["profiles"]["data"], 10_000, "invalid"):
        world.person(_who(profile))
    return ok({"data": {"type": data["type"], "id": str(next(world.numbers))}}, 202)


def _who(data: Any) -> str:
    attributes = data["attributes"]
    demand(E164.fullmatch(attributes.get("phone_number", "+10000000")), "invalid")
    demand(len(attributes.get("external_id", "")) <= 255, "invalid")
    return str(attributes.get("email") or attributes["external_id"])


def customerio(call: Call, world: World) -> Response:
    if call.path == "/v1/segments":
        if call.method == "GET":
            listed = [{"id": i, "name": n} for n, i in world.audiences.items()]
            return ok({"segments": listed})
        return ok({"segment": {"id": world.audience(call.body["segment"]["name"])}})
    if call.path == "/api/v2/batch":
        batch = at_most(only(call.body, "batch", row="bad_request")["batch"], 1000, "bad_request")
        for one in batch:
            (own,) = one["identifiers"].values()
            demand(one["type"] == "person" and len(json.dumps(one)) <= 32_768, "bad_request")
            world.person(own)
            if one["action"] == "event":
                demand(ULID.fullmatch(one["id"]), "bad_request")
                demand(isinstance(one["timestamp"], int), "bad_request")
                world.happened(one["id"], one)
        return ok({})
    ids = at_most(only(call.body, "ids", row="bad_request")["ids"], 1000, "bad_request")
    known = [one for one in ids if one in world.people]
    member = call.path.endswith("/add_customers")
    world.change(call.path.split("/")[4], known, member=member)
    return ok({})


def iterable(call: Call, world: World) -> Response:
    if call.path == "/lists":
        if call.method == "GET":
            listed = [{"id": int(i), "name": n} for n, i in world.audiences.items()]
            return ok({"lists": listed})
        return ok({"listId": int(world.audience(call.body["name"]))})
    if call.path == "/users/bulkUpdate":
        users = only(call.body, "users", "createNewFields", row="bad_params")["users"]
        return ok({"successCount": len(at_most(users, 1000, "bad_params")), "failCount": 0})
    if call.path == "/events/trackBulk":
        events = only(call.body, "events", row="bad_params")["events"]
        for event in at_most(events, 1000, "bad_params"):
            demand(isinstance(event["createdAt"], int), "bad_params")
            world.happened(event["id"], event)
        return ok({"successCount": len(events), "failCount": 0})
    more = "updateExistingUsersOnly" if call.path == "/lists/subscribe" else "channelUnsubscribe"
    body = only(call.body, "listId", "subscribers", more, row="bad_params", needs=(more,))
    if body[more] is not False or not isinstance(body["listId"], int):
        raise Refused("bad_params")
    people = [
        one.get("userId") or one["email"]
        for one in at_most(body["subscribers"], 1000, "bad_params")
    ]
    world.change(str(body["listId"]), people, member=call.path == "/lists/subscribe")
    return ok({"successCount": len(people), "failCount": 0})


def intercom(call: Call, world: World) -> Response:
    if call.path == "/tags":
        return ok({"type": "tag", "id": world.audience(call.body["name"])})
    if call.path == "/events":
        if call.body["user_id"] not in world.people:
            raise Refused("not_found")
        flat = call.body["metadata"].values()
        demand(not any(isinstance(value, dict | list) for value in flat), "invalid")
        world.happened(call.body["metadata"]["event_id"], call.body)
        return ok(status=202)
    known = {own: key for key, own in world.people.items()}
    if call.body:
        demand(E164.fullmatch(call.body.get("phone", "+10000000")), "invalid")
    if call.path == "/contacts":
        own = call.body["external_id"]
        if own in world.people:
            text = f"A contact matching those details already exists with id={world.people[own]}"
            return ok({"errors": [{"code": "conflict", "message": text}]}, 409)
        return ok({"type": "contact", "id": world.person(own)})
    contact = call.path.split("/")[2]
    if contact not in known:
        raise Refused("not_found")
    if call.path.endswith("/tags"):
        world.change(str(call.body["id"]), [known[contact]], member=True)
    elif "/tags/" in call.path:
        world.change(call.path.rpartition("/")[2], [known[contact]], member=False)
    return ok({"type": "contact", "id": contact})


def zendesk(call: Call, world: World) -> Response:
    if call.path == "/user_fields":
        if call.method == "GET":
            return ok({"user_fields": [{"key": key} for key in world.audiences]})
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


def mailchimp(call: Call, world: World) -> Response:
    parts = call.path.strip("/").split("/")
    if parts[2:] == ["segments"]:
        if call.method == "GET":
            listed = [{"id": int(i), "name": n} for n, i in world.audiences.items()]
            return ok({"segments": listed})
        return ok({"id": int(world.audience(call.body["name"]))})
    if parts[-1] == "events":
        demand(2 <= len(call.body["name"]) <= 30, "invalid")
        demand(all(isinstance(v, str) for v in call.body["properties"].values()), "invalid")
        world.happened(f"{parts[3]}|{call.body['name']}|{call.body['occurred_at']}", call.body)
        return ok(status=204)
    if parts[2:3] == ["members"] and call.method == "GET":
        status = world.statuses.get(parts[3])
        return ok({"status": status}) if status else ok({"title": "Not Found"}, 404)
    if parts[2:3] == ["members"]:
        demand(parts[3] == _mailchimp_hash(call.body["email_address"]), "invalid")
        world.statuses.setdefault(parts[3], call.body["status_if_new"])
        world.person(call.body["email_address"])
        return ok({"email_address": call.body["email_address"], "id": parts[3]})
    if len(parts) == 2:
        return _mailchimp_members(call, world)
    body = only(call.body, "members_to_add", "members_to_remove", row="invalid")
    demand(max(len(body["members_to_add"]), len(body["members_to_remove"])) <= 500, "invalid")
    adds = [one for one in body["members_to_add"] if one in world.people]
    world.change(parts[3], adds, member=True)
    world.change(parts[3], body["members_to_remove"], member=False)
    return ok({"total_added": len(adds), "total_removed": len(body["members_to_remove"])})


def _mailchimp_members(call: Call, world: World) -> Response:
    """Many at once: what each is subscribed to is overwritten."""
    members: list[Any] = at_most(call.body["members"], 500, "invalid")
    demand(all(one["status"] in STATUSES for one in members), "invalid")
    for one in members:
        world.person(one["email_address"])
        world.statuses[_mailchimp_hash(one["email_address"])] = one["status"]
    return ok({"errors": [], "total_created": len(members), "total_updated": 0, "error_count": 0})


def _mailchimp_hash(email: str) -> str:
    return hashlib.md5(email.lower().encode(), usedforsecurity=False).hexdigest()


def slack_webhook(call: Call, world: World) -> Response:
    body = only(call.body, "text", "blocks", row="bad_payload", needs=("text",))
    demand(0 < len(body["text"]) <= 40_000, "bad_payload")
    world.happened(f"{next(world.numbers)}", body)
    return Response(200, {"content-type": "text/html"}, b"ok")


def google_sheets(call: Call, world: World) -> Response:
    rows: list[Any] = world.jobs.setdefault("rows", [])
    if call.method == "GET":
        return ok({"values": [[row[-1]] for row in rows]})
    values = at_most(
        only(call.body, "values", row="invalid_argument")["values"], 500, "invalid_argument"
    )
    demand(all(len(row) == 5 for row in values), "invalid_argument")
    for row in values:
        if row[2] in ("added", "removed"):
            world.change(row[1], [row[0]], member=row[2] == "added")
        else:
            world.happened(row[-1], row)
        rows.append(row)
    return ok({"updates": {"updatedRows": len(values)}})


def webhook(call: Call, world: World) -> Response:
    for event in call.body if isinstance(call.body, list) else [call.body]:
        data = event["data"]
        match event["type"]:
            case "audience.member_added" | "audience.member_removed":
                added = event["type"] == "audience.member_added"
                world.change(data["audience_id"], [data["profile_id"]], member=added)
            case "event.sent":
                world.happened(data["event_id"], data)
            case _:
                world.person(data["profile_id"])
    return ok(status=204)
