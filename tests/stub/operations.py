"""Which operations of its contract a call carries out: by its path, and by what it says where one
path serves several."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tests.stub.gate import endpoints_of
from tests.stub.world import Call, World


def operations(call: Call, world: World) -> frozenset[str]:
    """Empty for a look-up or the state of a job; several where a platform cannot be told apart."""
    found = frozenset(endpoint.action for endpoint in endpoints_of(call, world))
    if (world.name, call.method) == ("intercom", "PUT"):
        return frozenset({"upsert_profile"})
    said = SAID.get(world.name)
    if said is None or len(found) < 2:
        return found
    return found & {MEANS.get(word, "") for word in said(call.body)}


MEANS: Mapping[Any, str] = {
    **dict.fromkeys(
        ("recordIdsToAdd", "members_to_add", "add", "ADD", "create", "added", True), "add_member"
    ),
    **dict.fromkeys(
        ("recordIdsToRemove", "members_to_remove", "delete", "REMOVE", "remove", "removed", False),
        "remove_member",
    ),
    "audience.member_added": "add_member",
    "audience.member_removed": "remove_member",
    **dict.fromkeys(("profile.updated", "identify", "attributes"), "upsert_profile"),
    **dict.fromkeys(("event.sent", "event", "events", "purchases"), "send_event"),
}
"""What the words of the platforms mean."""


def _filled(body: Any) -> Iterable[Any]:
    """The lists that have something in them."""
    return [name for name, value in body.items() if value]


def _flags(entries: Iterable[Any]) -> Iterable[Any]:
    """What is said of membership, by fields that are true or false or by what is added to an array;
    else it is a profile."""
    for entry in entries:
        flags: list[Any] = [value for value in entry.values() if isinstance(value, bool)]
        arrays = [verb for value in entry.values() if isinstance(value, dict) for verb in value]
        yield from flags or [verb for verb in arrays if verb in MEANS] or ["attributes"]


SAID: Mapping[str, Callable[[Any], Iterable[Any]]] = {
    "google_ads_customer_match": lambda body: [name for one in body["operations"] for name in one],
    "tiktok_audiences": lambda body: [body["action"]],
    "linkedin_dmp": lambda body: [one["action"] for one in body["elements"]],
    "trade_desk_first_party": lambda body: [
        data["TTLInMinutes"] > 0 for item in body["Items"] for data in item["Data"]
    ],
    "hubspot": _filled,
    "mailchimp": _filled,
    "salesforce": lambda body: (
        ["event"] if "Event_Id__c" in body["records"][0] else _flags(body["records"])
    ),
    "zendesk": lambda body: _flags(user["user_fields"] for user in body["users"]),
    "braze": lambda body: [
        *_flags(body.get("attributes", ())),
        *_filled({name: body.get(name) for name in ("events", "purchases")}),
    ],
    "customerio": lambda body: [one["action"] for one in body["batch"]],
    "google_sheets": lambda body: [
        row[2] if row[2] in ("added", "removed") else "event.sent" for row in body["values"]
    ],
    "webhook": lambda body: [one["type"] for one in (body if isinstance(body, list) else [body])],
}
"""Platform → the words of a body that tell operations with the same path apart."""
