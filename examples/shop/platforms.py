"""Meta and HubSpot, played by the strict stub: whom each holds in the pro plan, against SQL."""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

from examples.shop.recompute import Expected
from tests.stub.server import Stub

DOCUMENTS = Path(__file__).with_name("platforms.yaml")
PLACE = "http://127.0.0.1:9010"
"""Where the stub is in the documents; replaced by where it really is."""
SEGMENT = "pro-plan"
TOKENS = {"SHOP_META_TOKEN": "meta-token", "SHOP_HUBSPOT_TOKEN": "hubspot-token"}


def _digest(address: str) -> str:
    return hashlib.sha256(address.encode()).hexdigest()


KNOWS_BY: Mapping[str, Callable[[str], str]] = {
    "meta_custom_audiences": _digest,
    "hubspot": lambda address: address,
}
"""Platform → what it makes of somebody's address."""


def documents(stub: Stub) -> str:
    """The destinations, with the address of the stub."""
    return DOCUMENTS.read_text(encoding="utf-8").replace(PLACE, stub.url)


def held(stub: Stub, platform: str) -> frozenset[str]:
    """Who is in its audience."""
    members = list(stub.world(platform).members.values())
    return frozenset(one for people in members for one in list(people))


def differences(stub: Stub, expected: Expected) -> list[str]:
    """A line for each member that a platform or SQL alone has, and for what it got unhashed."""
    addresses = expected.addresses(SEGMENT)
    return [line for platform in KNOWS_BY for line in _of(platform, stub, addresses)]


def _of(platform: str, stub: Stub, addresses: frozenset[str]) -> list[str]:
    there = held(stub, platform)
    due = {KNOWS_BY[platform](address): address for address in addresses}
    return [
        *(f"{platform}: {one} is there, not in SQL" for one in sorted(there - due.keys())),
        *(f"{platform}: {due[one]} is in SQL, not there" for one in sorted(due.keys() - there)),
        *(f"{platform}: {place} came unhashed" for place in stub.world(platform).leaks),
    ]
