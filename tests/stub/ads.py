"""The ads platforms: sets of digests, and conversions that count once."""

import re
from collections.abc import Mapping
from typing import Any

from services.activator.destinations import DESTINATIONS
from services.activator.destinations.meta_conversions import SOURCES
from services.activator.domain.outcomes import Response
from tests.stub.world import Call, Refused, World, at_most, demand, ok, only

BAD = "invalid_parameter"
PLAIN = ("EXTERN_ID", "MADID", "LOOKALIKE_VALUE", "DATA_PROCESSING_OPTIONS")
SCHEMA = (*(DESTINATIONS["meta_custom_audiences"].contract.ids or {}), "DATA_PROCESSING_OPTIONS")
SESSION = {"session_id", "batch_seq", "last_batch_flag", "estimated_num_total"}


def meta_custom_audiences(call: Call, world: World) -> Response:
    if call.path.endswith("/customaudiences"):
        if call.method == "GET":
            listed, after = world.page(call.query.get("after"))
            paging = {"cursors": {"after": str(after)}, "next": "https://x/y"} if after else {}
            return ok({"data": [{"id": i, "name": n} for n, i in listed], "paging": paging})
        body = only(call.body, "name", "subtype", "customer_file_source", "description", row=BAD)
        return ok({"id": world.audience(body["name"])})
    if call.method == "GET":
        asked = call.path.rpartition("/")[2]
        demand(asked in world.members, "missing_object")
        status = {"code": 471 if asked in world.restricted else 200}
        return ok({"id": asked, "operation_status": status})
    body = only(call.body, "session", "payload", row=BAD, needs=("session", "payload"))
    schema, rows = body["payload"]["schema"], at_most(body["payload"]["data"], 10_000, BAD)
    demand(set(body["session"]) == SESSION and set(body["payload"]) == {"schema", "data"}, BAD)
    demand(set(schema) <= set(SCHEMA) and len(set(schema)) == len(schema), BAD)
    demand(all(len(row) == len(schema) and any(row) for row in rows), BAD)
    people: set[str] = set()
    for row in rows:
        cells = dict(zip(schema, row, strict=True))
        for key in set(cells) - set(PLAIN):
            if cells[key] != "":
                world.hashed(cells[key], key)
        people.update(cells[k] for k in ("EMAIL", "PHONE", "MADID") if cells.get(k))
    audience = call.path.split("/")[2]
    world.change(audience, sorted(people), member=call.method == "POST")
    return ok({"audience_id": audience, "num_received": len(rows), "num_invalid_entries": 0})


def meta_conversions(call: Call, world: World) -> Response:
    body = only(call.body, "data", "test_event_code", row=BAD, needs=("data",))
    for event in at_most(body["data"], 1000, BAD):
        user = event["user_data"]
        for key in ("em", "ph", "fn", "ln", "ge", "db", "ct", "st", "zp", "country", "external_id"):
            for value in user.get(key, []):
                world.hashed(value, key)
        demand(event["action_source"] in SOURCES and isinstance(event["event_time"], int), BAD)
        is_web = event["action_source"] == "website"
        demand(not is_web or {"event_source_url"} <= set(event), BAD)
        demand(not is_web or {"client_user_agent"} <= set(user), BAD)
        details = event["custom_data"]
        demand(event["event_name"] != "Purchase" or {"currency", "value"} <= set(details), BAD)
        world.happened(f"{event['event_name']}|{event['event_id']}", event)
    return ok({"events_received": len(body["data"]), "messages": []})


def google_data_manager(call: Call, world: World) -> Response:
    row = "invalid_argument"
    if "userLists" in call.path:
        if call.method == "GET":
            listed, after = world.page(call.query.get("pageToken"))
            token = {"nextPageToken": str(after)} if after else {}
            return ok({"userLists": [{"id": i, "displayName": n} for n, i in listed]} | token)
        return ok({"id": world.audience(call.body["displayName"])})
    if "requestStatus" in call.path:
        return ok({"requestStatusPerDestination": [world.job_end]})
    envelope = ("destinations", "encoding", "validateOnly")
    if "events" in call.path:
        body = only(call.body, *envelope, "events", row=row)
        for event in at_most(body["events"], 2000, row):
            _google_people(event.get("userData", {}), world)
            world.happened(event["transactionId"], event)
        return ok({"requestId": str(next(world.numbers))})
    removes = call.path.endswith(":remove")
    more = () if removes else ("termsOfService", "consent")
    body = only(call.body, *envelope, *more, "audienceMembers", row=row)
    if removes and any("consent" in member for member in body["audienceMembers"]):
        raise Refused(row)
    people, kinds = set(), set()
    for member in at_most(body["audienceMembers"], 10_000, row):
        (kind,) = set(member) & {"userData", "mobileData", "userIdData"}
        kinds.add(kind)
        people.update(_google_people(member.get("userData", {}), world))
        people.update(at_most(member.get("mobileData", {}).get("mobileIds", ["-"]), 10, row))
    demand(len(kinds) == 1, row)
    people.discard("-")
    audience = body["destinations"][0]["productDestinationId"]
    world.change(audience, sorted(people), member=not removes)
    return ok({"requestId": str(next(world.numbers))})


def _google_people(data: Any, world: World) -> list[str]:
    found = []
    identifiers = data.get("userIdentifiers", [])
    demand(len(identifiers) <= 10, "invalid_argument")
    for identifier in identifiers:
        if "address" in identifier:
            address = dict(identifier["address"])
            _address(address, ("givenName", "familyName"), "regionCode", world)
        keys = [key for key in ("emailAddress", "phoneNumber") if key in identifier]
        found += [world.hashed(identifier[key], key) for key in keys]
    return found


def _address(address: dict[str, Any], names: tuple[str, str], country: str, world: World) -> None:
    """All four parts, the names as digests, the country in two capitals."""
    demand(set(address) == {*names, country, "postalCode"}, "invalid_argument")
    demand(re.fullmatch("[A-Z]{2}", address[country]), "invalid_argument")
    for name in names:
        world.hashed(address[name], name)


def google_ads_customer_match(call: Call, world: World) -> Response:
    if call.path.endswith("googleAds:search"):
        wanted = call.body["query"].rpartition("= '")[2].rstrip("'")
        listed = [{"userList": {"id": i, "name": n}} for n, i in world.audiences.items()]
        return ok({"results": [e for e in listed if e["userList"]["name"] == wanted]})
    if call.path.endswith("userLists:mutate"):
        made = world.audience(call.body["operations"][0]["create"]["name"])
        return ok({"results": [{"resourceName": f"customers/1/userLists/{made}"}]})
    if call.path.endswith("offlineUserDataJobs:create"):
        name = f"customers/1/offlineUserDataJobs/{next(world.numbers)}"
        target = call.body["job"]["customerMatchUserListMetadata"]["userList"]
        world.jobs[name] = target.rpartition("/")[2], []
        return ok({"resourceName": name})
    name, _, verb = call.path.removeprefix("/v24/").partition(":")
    audience, operations = world.jobs[name]
    if verb == "addOperations":
        body = only(call.body, "enablePartialFailure", "operations", row="malformed")
        operations += at_most(body["operations"], 10_000, "malformed")
        return ok({})
    for operation in operations:
        for action, data in operation.items():
            demand(len(data["userIdentifiers"]) <= 20, "malformed")
            for one in data["userIdentifiers"]:
                if "addressInfo" in one:
                    names = ("hashedFirstName", "hashedLastName")
                    _address(dict(one["addressInfo"]), names, "countryCode", world)
            digests = [
                world.hashed(v, k)
                for i in data["userIdentifiers"]
                for k, v in i.items()
                if k in ("hashedEmail", "hashedPhoneNumber")
            ]
            world.change(audience, digests, member=action == "create")
    return ok({"name": "operations/1"})


def google_ads_conversions(call: Call, world: World) -> Response:
    key = "conversions" if "Click" in call.path else "conversionAdjustments"
    body = only(call.body, key, "partialFailure", "validateOnly", row="malformed")
    if body["partialFailure"] is not True:
        raise Refused("malformed")
    for event in at_most(body[key], 2000, "malformed"):
        demand(len(event.get("userIdentifiers", [])) <= 5, "malformed")
        demand(sum(name in event for name in ("gclid", "gbraid", "wbraid")) <= 1, "malformed")
        for identifier in event.get("userIdentifiers", []):
            for name, value in identifier.items():
                world.hashed(value, name)
        kind = event.get("adjustmentType", "")
        demand(_adjusts(event) if key == "conversionAdjustments" else not kind, "malformed")
        world.happened(f"{event['conversionAction']}|{event['orderId']}|{kind}", event)
    return ok({"results": [{} for _ in body[key]]})


def _adjusts(event: Mapping[str, Any]) -> bool:
    """Whether the adjustment has what its type needs, and nothing of another type."""
    of_type = {
        "ENHANCEMENT": ({"userIdentifiers"}, {"userAgent"}),
        "RETRACTION": ({"adjustmentDateTime"}, set[str]()),
        "RESTATEMENT": ({"adjustmentDateTime", "restatementValue"}, set[str]()),
    }
    needed, more = of_type.get(event.get("adjustmentType", ""), ({""}, set[str]()))
    given = event.keys() - {"adjustmentType", "conversionAction", "orderId"}
    return bool(needed <= given <= needed | more)


def tiktok_audiences(call: Call, world: World) -> Response:
    if "custom_audience/list" in call.path:
        number = int(call.query.get("page", "1"))
        listed, after = world.page(str(2 * number - 2))
        found = [{"audience_id": i, "name": n} for n, i in listed]
        pages = {"page": number, "total_page": number + 1 if after else number}
        return ok({"code": 0, "data": {"list": found, "page_info": pages}})
    if call.path.endswith("/segment/audience/"):
        made = world.audience(call.body["custom_audience_name"])
        return ok({"code": 0, "data": {"audience_id": made}})
    allowed = ("advertiser_ids", "action", "id_schema", "batch_data")
    body = only(call.body, *allowed, row="bad_parameter", needs=allowed)
    for person in at_most(body["batch_data"], 1000, "bad_parameter"):
        if len(person) != len(body["id_schema"]):
            raise Refused("bad_parameter")
        for kind, cell in zip(body["id_schema"], person, strict=True):
            for audience in cell.get("audience_ids", []):
                digest = world.hashed(cell["id"], kind)
                world.change(audience, [digest], member=body["action"] == "add")
    return ok({"code": 0, "message": "OK", "data": {}})


def tiktok_events(call: Call, world: World) -> Response:
    allowed = ("event_source", "event_source_id", "partner_name", "test_event_code", "data")
    body = only(call.body, *allowed, row="bad_parameter")
    for event in at_most(body["data"], 1000, "bad_parameter"):
        goods = event["properties"].get("contents", [])
        demand(all(isinstance(one["content_id"], str) for one in goods), "bad_parameter")
        for key in ("email", "phone", "external_id"):
            for value in event["user"].get(key, []):
                world.hashed(value, key)
        world.happened(f"{event['event']}|{event['event_id']}", event)
    return ok({"code": 0, "message": "OK", "data": {}})


def linkedin_dmp(call: Call, world: World) -> Response:
    if call.path == "/dmpSegments" and call.method == "GET":
        made = world.audiences.get(call.query["sourceSegmentId"])
        return ok({"elements": [{"id": made}] if made else []})
    if call.path == "/dmpSegments":
        return ok({}, 201, **{"x-restli-id": world.audience(call.body["sourceSegmentId"])})
    if call.headers.get("x-restli-method") != "BATCH_CREATE":
        raise Refused("permission")
    audience = call.path.split("/")[2]
    elements = []
    for element in at_most(only(call.body, "elements", row="indices")["elements"], 5000, "indices"):
        demand(element["action"] in ("ADD", "REMOVE") and element["userIds"], "indices")
        for one in element["userIds"]:
            if one["idType"].startswith("SHA256"):
                digest = world.hashed(one["idValue"], one["idType"])
                world.change(audience, [digest], member=element["action"] == "ADD")
        elements.append({"status": 201})
    return ok({"elements": elements})


def linkedin_conversions(call: Call, world: World) -> Response:
    elements = at_most(only(call.body, "elements", row="indexed")["elements"], 5000, "indexed")
    for element in elements:
        user, value = element["user"], element.get("conversionValue", {"amount": ""})
        demand(isinstance(value["amount"], str), "indexed")
        demand(len(element["eventId"]) <= 64, "indexed")
        demand(
            {"firstName", "lastName"} <= set(user.get("userInfo", user)) or "userIds" in user,
            "indexed",
        )
        for one in user.get("userIds", []):
            if one["idType"] == "SHA256_EMAIL":
                world.hashed(one["idValue"], one["idType"])
        world.happened(f"{element['conversion']}|{element['eventId']}", element)
    return ok({"elements": [{"status": 201} for _ in elements]})


def snapchat_audiences(call: Call, world: World) -> Response:
    if call.path.startswith("/adaccounts/"):
        if call.method == "GET":
            listed, after = world.page(call.query.get("cursor"))
            paging = {"next_link": f"https://x/y?cursor={after}"} if after else {}
            segments = [{"segment": {"id": i, "name": n}} for n, i in listed]
            return ok({"segments": segments, "paging": paging})
        made = world.audience(call.body["segments"][0]["name"])
        return ok({"segments": [{"segment": {"id": made}}]})
    (users,) = only(call.body, "users", row="invalid")["users"]
    values = [value for (value,) in at_most(users["data"], 100_000, "invalid")]
    demand(len(users["schema"]) == 1 and len(set(values)) == len(values), "invalid")
    segment = call.path.split("/")[2]
    demand(call.method == "POST" or users.get("id") == segment, "invalid")
    digests = [world.hashed(value, users["schema"][0]) for value in values]
    world.change(segment, digests, member=call.method == "POST")
    return ok({"request_status": "SUCCESS", "users": [{"sub_request_status": "SUCCESS"}]})


def trade_desk_first_party(call: Call, world: World) -> Response:
    body = only(call.body, "DataProviderId", "AdvertiserId", "Items", row="failed_lines")
    for item in at_most(body["Items"], 1000, "failed_lines"):
        (kind,) = set(item) - {"Data"}
        for data in item["Data"]:
            lasts = data["TTLInMinutes"] > 0
            world.change(world.audience(data["Name"]), [item[kind]], member=lasts)
    return ok({"FailedLines": []})
