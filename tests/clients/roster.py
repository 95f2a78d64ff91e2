"""The clients, each as its makers ship it, and what a program has to say to drive it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from schemas.records import EventType
from tests.clients import environments

ALL: tuple[EventType, ...] = ("identify", "track", "page", "screen", "group", "alias")
NO_SCREEN: tuple[EventType, ...] = ("identify", "track", "page", "group", "alias")
JITSU: tuple[EventType, ...] = ("identify", "track", "page", "group")


@dataclass(frozen=True, slots=True)
class Client:
    """One client: how its driver is started, and what its API has."""

    name: str
    package: str
    command: Callable[[], list[str]]
    kinds: tuple[EventType, ...] = ALL
    source: str = "segment"
    options: Mapping[str, Any] = field(default_factory=dict)
    """Given to the client as they are."""
    is_browser: bool = False
    """Goes on sending until its page is closed."""
    retries: bool = True
    """Sends again after a 503 or a broken connection."""

    @property
    def is_python(self) -> bool:
        return "python" in self.package


def _python(name: str, module: str) -> Callable[[], list[str]]:
    program = str(environments.HERE / "python" / "drive.py")
    return lambda: [str(environments.python(name)), program, module]


def _node(name: str) -> Callable[[], list[str]]:
    return lambda: [environments.node(), str(environments.NODE / "server.mjs"), name]


def _browser(name: str) -> Callable[[], list[str]]:
    program = str(environments.NODE / "browser.mjs")
    return lambda: [environments.node(), program, name, environments.browser()]


CLIENTS: Mapping[str, Client] = {
    client.name: client
    for client in (
        Client("seg-py", "segment-analytics-python", _python("seg-py", "segment.analytics")),
        Client(
            "seg-py-gzip",
            "segment-analytics-python",
            _python("seg-py", "segment.analytics"),
            options={"gzip": True},
        ),
        Client("old-py", "analytics-python", _python("old-py", "analytics")),
        Client(
            "rud-py",
            "rudder-sdk-python",
            _python("rud-py", "rudderstack.analytics"),
            source="rudder",
        ),
        Client("seg-node", "@segment/analytics-node", _node("seg-node")),
        Client("rud-node", "@rudderstack/rudder-sdk-node", _node("rud-node"), source="rudder"),
        Client(
            "jitsu-node", "@jitsu/js", _node("jitsu-node"), JITSU, source="jitsu", retries=False
        ),
        Client("next", "@segment/analytics-next", _browser("next"), is_browser=True),
        Client(
            "next-batch",
            "@segment/analytics-next",
            _browser("next"),
            options={"deliveryStrategy": {"strategy": "batching"}},
            is_browser=True,
        ),
        Client(
            "rud-js",
            "@rudderstack/analytics-js",
            _browser("rud-js"),
            NO_SCREEN,
            source="rudder",
            is_browser=True,
        ),
        Client(
            "rud-js-beacon",
            "@rudderstack/analytics-js",
            _browser("rud-js"),
            NO_SCREEN,
            source="rudder",
            options={"useBeacon": True, "beaconQueueOptions": {"flushQueueInterval": 1000}},
            is_browser=True,
            retries=False,
        ),
        Client(
            "jitsu",
            "@jitsu/js",
            _browser("jitsu"),
            JITSU,
            source="jitsu",
            is_browser=True,
            retries=False,
        ),
    )
}
