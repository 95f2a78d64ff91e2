"""Whose address a request comes from (contract §10)."""

from ipaddress import ip_network
from typing import Any

import pytest

from services.ingest.domain.client import address, read_policy

TRUSTED = (ip_network("10.0.0.0/8"), ip_network("::1/128"))

CASES: list[tuple[dict[str, Any], str | None]] = [
    ({"peer": "192.0.2.1"}, "192.0.2.1"),
    ({"peer": None}, None),
    ({"peer": "10.0.0.1", "forwarded": "203.0.113.5, 198.51.100.2"}, "198.51.100.2"),
    ({"peer": "10.0.0.1", "forwarded": "203.0.113.5, 10.1.1.1", "trusted": TRUSTED}, "203.0.113.5"),
    ({"peer": "10.0.0.1", "forwarded": "10.2.2.2, 10.1.1.1", "trusted": TRUSTED}, "10.0.0.1"),
    ({"peer": "10.0.0.1", "forwarded": "203.0.113.5:4711"}, "203.0.113.5"),
    ({"peer": "10.0.0.1", "forwarded": "[2001:db8::1]:4711"}, "2001:db8::1"),
    ({"peer": "10.0.0.1", "forwarded": "2001:db8::1"}, "2001:db8::1"),
    ({"peer": "10.0.0.1", "forwarded": "203.0.113.5, unknown"}, "203.0.113.5"),
    ({"peer": "10.0.0.1", "forwarded": "unknown"}, "10.0.0.1"),
    ({"peer": "10.0.0.1", "real_ip": "203.0.113.9", "trusted": TRUSTED}, "203.0.113.9"),
    ({"peer": "192.0.2.1", "real_ip": "203.0.113.9", "trusted": TRUSTED}, "192.0.2.1"),
    ({"peer": "192.0.2.1", "real_ip": "203.0.113.9"}, "192.0.2.1"),
]


@pytest.mark.parametrize(("connection", "expected"), CASES)
def test_10_the_first_address_from_the_right_that_is_no_proxy_of_ours(
    connection: dict[str, Any], expected: str | None
) -> None:
    given: dict[str, Any] = {"forwarded": "", "real_ip": "", "trusted": ()} | connection
    assert address(given.pop("peer"), **given) == expected


@pytest.mark.parametrize(
    ("header", "policy"),
    [("remove", "remove"), ("StripLastOctet", "stripLastOctet"), ("keep", None), (None, None)],
)
def test_10_the_ip_policy_header(header: str | None, policy: str | None) -> None:
    assert read_policy(header) == policy
