"""The messaging platforms: people who are written to, their lists, tags and events."""

import hashlib
import json
import re
from typing import Any

from services.activator.domain.outcomes import Response
from tests.stub.world import Call, Refused, World, at_most, demand, ok, only, refusal

E164 = re.compile(r"\+[1-9][0-9]{7,14}")
ULID = re.compile("[0-9A-HJKMNP-TV-Z]{26}")
STATUSES = ("subscribed", "unsubscribed", "pending", "transactional")


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
        found, after = world.page(call.query.get("page[cursor]"))
        listed = [{"id": i, "attributes": {"name": n}} for n, i in found if n == wanted]
        following = f"https://x/api/lists?page%5Bcursor%5D={after}" if after else None
        return ok({"data": listed, "links": {"next": following}})
    if call.path.startswith("/api/profiles/"):
        return _klaviyo_profile(call.path.rpartition("/")[2], world)
    if call.path.startswith("/api/profile-subscription-bulk-"):
        return _klaviyo_subscriptions(only(call.body, "data", row="invalid")["data"], world)
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


def _klaviyo_profile(vendor_id: str, world: World) -> Response:
    """A profile with what it has chosen of each channel."""
    known = {own: key for key, own in world.people.items()}
    if vendor_id not in known:
        return refusal(world, "missing_list")
    subscriptions = {
        channel: {"marketing": {"consent": world.statuses.get(f"{channel}:{known[vendor_id]}")}}
        for channel in ("email", "sms")
    }
    attributes = {"subscriptions": subscriptions}
    return ok({"data": {"type": "profile", "id": vendor_id, "attributes": attributes}})


def _klaviyo_subscriptions(data: Any, world: World) -> Response:
    """Subscribing lifts what was chosen before; it is asked of so many at once."""
    verbs = {"SUBSCRIBED": "create", "UNSUBSCRIBED": "delete"}
    for profile in at_most(data["attributes"]["profiles"]["data"], 100, "invalid"):
        for channel, wanted in profile["attributes"]["subscriptions"].items():
            consent = wanted["marketing"]["consent"]
            demand(data["type"] == f"profile-subscription-bulk-{verbs[consent]}-job", "invalid")
            needed = {"email": "email", "sms": "phone_number"}[channel]
            demand(needed in profile["attributes"], "invalid")
            world.statuses[f"{channel}:{_who(profile)}"] = consent
    return ok(status=202)


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


def mailchimp(call: Call, world: World) -> Response:
    parts = call.path.strip("/").split("/")
    if parts[2:] == ["segments"]:
        if call.method == "GET":
            listed, _ = world.page(call.query.get("offset"))
            segments = [{"id": int(i), "name": n} for n, i in listed]
            return ok({"segments": segments, "total_items": len(world.audiences)})
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
