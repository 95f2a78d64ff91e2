"""Who sent the event: a device or a server, from which address, and what of that may be kept."""

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from services.ingest.domain.door import Origin

IpPolicy = Literal["remove", "stripLastOctet"]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

BROWSER_LIBRARIES = frozenset({"analytics.js", "RudderLabs JavaScript SDK"})
MOBILE_LIBRARIES = frozenset(
    {
        "analytics-ios",
        "analytics-android",
        "analytics-swift",
        "analytics-kotlin",
        "analytics-react-native",
        "analytics-flutter",
    }
)
DEVICE_CHANNELS = frozenset({"web", "browser", "client", "mobile"})


class Client(msgspec.Struct, frozen=True):
    """The other end of the connection, after the address policy of the request."""

    ip: str | None
    user_agent: str | None
    ip_policy: IpPolicy | None = None
    locale: str | None = None
    """Only where the client leaves it to the header."""


def library(context: Mapping[str, Any]) -> str | None:
    """Name of the library that built the event."""
    described = context.get("library")
    name = described.get("name") if isinstance(described, dict) else None
    return name if isinstance(name, str) else None


def is_device(channel: Any, context: Mapping[str, Any], origin: Origin | None) -> bool:
    """Whether an event comes from somebody's device rather than from a server."""
    if origin == "server" or channel == "server":
        return False
    if origin == "device":
        return True
    if isinstance(channel, str) and channel in DEVICE_CHANNELS:
        return True
    if context.get("direct") is True:
        return True
    name = library(context)
    return name in BROWSER_LIBRARIES or name in MOBILE_LIBRARIES


def default_channel(context: Mapping[str, Any], *, device: bool) -> str:
    """The channel of an event that names none."""
    if not device:
        return "server"
    return "mobile" if library(context) in MOBILE_LIBRARIES else "browser"


def enrich(context: dict[str, Any], client: Client, *, device: bool) -> None:
    """Fill in what only the connection knows; what the client says itself is kept."""
    if device:
        if client.ip and "ip" not in context:
            context["ip"] = client.ip
        if client.user_agent and "userAgent" not in context:
            context["userAgent"] = client.user_agent
        if client.locale and "locale" not in context:
            context["locale"] = client.locale
    if client.ip_policy and "ip" in context:
        allowed = permitted(context["ip"], client.ip_policy)
        if allowed is None:
            del context["ip"]
        else:
            context["ip"] = allowed


def permitted(ip: Any, policy: IpPolicy) -> str | None:
    """What of an address may be kept; an empty one is the client's own way to say none."""
    if policy == "remove" or not isinstance(ip, str):
        return None
    if not ip:
        return ip
    try:
        kept = 24 if ipaddress.ip_address(ip).version == 4 else 48
        return str(ipaddress.ip_network((ip, kept), strict=False).network_address)
    except ValueError:
        return None


def read_policy(header: str | None) -> IpPolicy | None:
    """The policy that the header asks for."""
    match (header or "").strip().lower():
        case "remove":
            return "remove"
        case "striplastoctet":
            return "stripLastOctet"
        case _:
            return None


def first_language(header: str | None) -> str | None:
    """The first tag of an Accept-Language header."""
    tag = (header or "").partition(",")[0].partition(";")[0].strip()
    return tag if tag and tag != "*" else None


def address(
    peer: str | None, *, forwarded: str, real_ip: str, trusted: Sequence[Network]
) -> str | None:
    """The client's address: the first from the right that is no proxy of ours."""
    for entry in reversed(forwarded.split(",")) if forwarded else ():
        found = _bare(entry)
        if found is not None and not _is_in(found, trusted):
            return found
    if real_ip and trusted and peer and _is_in(peer, trusted):
        return _bare(real_ip) or peer
    return peer


def _bare(entry: str) -> str | None:
    """The address without port and brackets; None if it is none."""
    text = entry.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None


def _is_in(ip: str, networks: Sequence[Network]) -> bool:
    return bool(networks) and any(ipaddress.ip_address(ip) in network for network in networks)
