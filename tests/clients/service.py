"""The running service as the clients find it: a broker, ingest, and a source for each family."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from schemas.codec import decode_as
from schemas.records import DeadLetter, Event
from schemas.topics import DEAD_LETTERS, DEFINITIONS, EVENTS
from tests.contract.ingest_server import ask, connected
from tests.integration.ingest_process import IngestProcess, define_source, ingest_process, stored
from tests.integration.topics import recreate_topics

SOURCES: Mapping[str, Mapping[str, Any]] = {
    "segment": {"write_keys": ["env:SEGMENT_KEY"]},
    "rudder": {"write_keys": ["env:RUDDER_KEY"], "profile": "rudderstack"},
    "jitsu": {"write_keys": ["env:JITSU_KEY"]},
}
KEYS: Mapping[str, str] = {
    "segment": "WK_SEGMENT",
    "rudder": "WK_RUDDER",
    "jitsu": "keyid:secret",
    "oauth": "WK_OAUTH",
}
"""Source → its write key; Jitsu's clients insist on two parts."""
PARTITIONS = 1


def empty(bootstrap: str) -> None:
    """Empty topics, and the sources in force."""
    recreate_topics(bootstrap, (EVENTS, DEAD_LETTERS, DEFINITIONS), PARTITIONS)
    for identity, body in SOURCES.items():
        define_source(bootstrap, identity, **body)


@contextmanager
def ready_ingest(
    bootstrap: str, settings: Mapping[str, str] | None = None
) -> Iterator[IngestProcess]:
    """A running ingest that knows the keys."""
    keys = {f"{identity.upper()}_KEY": key for identity, key in KEYS.items()}
    named = {"AFFLUX_PARTITIONS": str(PARTITIONS)}
    with ingest_process(bootstrap, {**keys, **named, **(settings or {})}) as running:
        running.until_ready()
        yield running


def events(bootstrap: str) -> list[Event]:
    """Everything in the topic of events, with the copies that identity drops."""
    (messages,) = stored(bootstrap, EVENTS, PARTITIONS)
    return [decode_as(Event, message.value()) for message in messages]


def letters(bootstrap: str) -> list[DeadLetter]:
    (messages,) = stored(bootstrap, DEAD_LETTERS, PARTITIONS)
    return [decode_as(DeadLetter, message.value()) for message in messages]


def assert_counters_agree(ingest: IngestProcess) -> None:
    """Every event that was ever received was accepted, dropped as a copy or suppressed, or refused.

    Raises:
        AssertionError: they do not add up.
    """
    with connected(ingest.line("health is served")["port"]) as connection:
        text = ask(connection, "GET", "/metrics").body.decode()
    counts = dict.fromkeys(("received", "accepted", "duplicate", "suppressed", "rejected"), 0.0)
    for family in text_string_to_metric_families(text):
        name = family.name.removeprefix("afflux_ingest_events_")
        if name in counts:
            counts[name] = sum(one.value for one in family.samples if one.name.endswith("_total"))
    received = counts.pop("received")
    assert received == sum(counts.values()), (received, counts)
