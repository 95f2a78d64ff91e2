"""The platforms that take anything: a sheet and a webhook."""

from typing import Any

from services.activator.domain.outcomes import Response
from tests.stub.world import Call, World, at_most, demand, ok, only


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
