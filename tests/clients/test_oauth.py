"""Clients that prove themselves with a key pair get a token and send with it (contract §3.2)."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from deploy.local.kafka import Kafka
from deploy.local.ports import free_port
from tests.clients.calls import counted
from tests.clients.conftest import usable
from tests.clients.driving import driven
from tests.clients.service import empty, events, ready_ingest
from tests.integration.ingest_process import IngestProcess, define_source

PAIR = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PRIVATE = PAIR.private_bytes(
    serialization.Encoding.PEM,
    serialization.PrivateFormat.PKCS8,
    serialization.NoEncryption(),
).decode()
PUBLIC = (
    PAIR.public_key()
    .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    .decode()
)
EVENTS = 5


@pytest.fixture(scope="module")
def ingest(broker: Kafka) -> Iterator[IngestProcess]:
    empty(broker.bootstrap)
    clients = [{"id": "billing", "public_keys": {"key-1": PUBLIC}}]
    oauth = {"clients": clients}
    define_source(broker.bootstrap, "oauth", write_keys=["env:OAUTH_KEY"], oauth=oauth)
    port = free_port()
    settings = {
        "AFFLUX_INGEST_PORT": str(port),
        "AFFLUX_INGEST_PUBLIC_URL": f"http://127.0.0.1:{port}",
    }
    with ready_ingest(broker.bootstrap, settings) as running:
        yield running


def options(name: str, server: str) -> dict[str, Any]:
    """In each library's own words."""
    if name == "seg-node":
        words = {"clientId": "billing", "clientKey": PRIVATE, "keyId": "key-1"}
        return {"oauthSettings": words | {"authServer": server}}
    return {
        "oauth_client_id": "billing",
        "oauth_client_key": PRIVATE,
        "oauth_key_id": "key-1",
        "oauth_auth_server": server,
    }


@pytest.mark.parametrize("name", ["seg-py", "seg-node"])
def test_3_2_a_client_with_a_key_pair_is_let_in(
    name: str, ingest: IngestProcess, broker: Kafka
) -> None:
    client = replace(usable(name), source="oauth", options=options(name, ingest.url))
    with driven(client, ingest.url, counted(EVENTS, name)) as driver:
        driver.finish()
    assert driver.dropped == []
    assert [event.name for event in events(broker.bootstrap)].count(name) == EVENTS


def test_3_2_a_client_without_is_not(ingest: IngestProcess, broker: Kafka) -> None:
    client = replace(usable("seg-py"), source="oauth")
    with driven(client, ingest.url, counted(EVENTS, "stranger")) as driver:
        driver.finish()
    assert driver.dropped == ["APIError"] * EVENTS
    assert all(event.name != "stranger" for event in events(broker.bootstrap))
