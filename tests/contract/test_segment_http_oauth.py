"""Tokens: who gets one, and what opens with it (contract §3.2)."""

import base64
import time
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlencode

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from segment.analytics.client import Client

from services.ingest.domain.source import Source
from tests.contract.ingest_server import PUBLIC_URL, Ingest, Reply, ingest, key_table, source

TRACK = {"type": "track", "event": "Bought", "userId": "u1", "messageId": "m1"}
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@pytest.fixture(scope="module")
def private_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65_537, key_size=2048)


def private_pem(key: rsa.RSAPrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def public_pem(key: rsa.RSAPrivateKey) -> str:
    return (
        key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )


def guarded(key: rsa.RSAPrivateKey, **oauth: Any) -> Source:
    clients = [{"id": "client", "public_keys": {"k1": public_pem(key)}}]
    return source("guarded", oauth={"clients": clients} | oauth)


def assertion(key: rsa.RSAPrivateKey, kid: str = "k1", **changes: Any) -> str:
    now = int(time.time())
    claims = {
        "iss": "client",
        "sub": "client",
        "aud": PUBLIC_URL,
        "iat": now - 5,
        "exp": now + 55,
        "jti": "unique",
    }
    return jwt.encode(claims | changes, private_pem(key), algorithm="RS256", headers={"kid": kid})


def ask(server: Ingest, signed: str, **changes: str) -> Reply:
    form = {
        "grant_type": "client_credentials",
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": signed,
        "scope": "tracking_api:write",
    }
    return server.request("POST", "/token", urlencode(form | changes).encode())


@pytest.fixture
def guarding(server: Ingest, private_key: rsa.RSAPrivateKey) -> Ingest:
    """A server with one source that asks for tokens."""
    server.world.keys = key_table(("WK", guarded(private_key)))
    return server


def bearing(server: Ingest, token: str) -> Reply:
    headers = {"Authorization": f"Bearer {token}"}
    return server.request("POST", "/v1/batch", {"batch": [TRACK], "writeKey": "WK"}, headers)


def test_3_2_a_signed_assertion_gets_a_token_that_opens_the_source(
    guarding: Ingest, private_key: rsa.RSAPrivateKey
) -> None:
    reply = ask(guarding, assertion(private_key))
    assert reply.status == 200
    assert {"token_type": "Bearer", "expires_in": 3600, "scope": "tracking_api:write"}.items() <= (
        reply.json.items()
    )
    age = time.time() - parsedate_to_datetime(reply.headers["Date"]).timestamp()
    assert abs(age) < 3
    assert bearing(guarding, reply.json["access_token"]).status == 200
    assert guarding.world.events[0]["projectId"] == "guarded"


NOW = int(time.time())


@pytest.mark.parametrize(
    ("changes", "status", "error", "description"),
    [
        ({"exp": NOW - 600, "iat": NOW - 660}, 400, "invalid_request", "Token is expired"),
        ({"iat": NOW + 600, "exp": NOW + 660}, 400, "invalid_request", "Token used before issued"),
        ({"exp": NOW + 6000}, 401, "invalid_client", None),
        ({"aud": "https://other.example"}, 401, "invalid_client", None),
        ({"iss": "other"}, 401, "invalid_client", None),
        ({"sub": "other", "iss": "other"}, 401, "invalid_client", None),
        ({"sub": 7}, 401, "invalid_client", None),
        ({"kid": "k2"}, 401, "invalid_client", None),
    ],
)
def test_3_2_an_assertion_that_does_not_prove_it_is_declined(
    guarding: Ingest,
    private_key: rsa.RSAPrivateKey,
    changes: dict[str, Any],
    status: int,
    error: str,
    description: str | None,
) -> None:
    reply = ask(guarding, assertion(private_key, **changes))
    assert (reply.status, reply.json["error"], reply.json["code"]) == (status, error, error)
    assert reply.json["error_description"] == reply.json["message"]
    assert description in (None, reply.json["error_description"])


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"client_assertion_type": "x"}, "invalid_request"),
        ({"scope": "everything"}, "invalid_scope"),
        ({"client_assertion": "x.y.z"}, "invalid_client"),
        ({"client_assertion": ""}, "invalid_client"),
    ],
)
def test_3_2_other_forms_are_declined(
    guarding: Ingest, private_key: rsa.RSAPrivateKey, changes: dict[str, str], error: str
) -> None:
    assert ask(guarding, assertion(private_key), **changes).json["error"] == error


def test_3_2_somebody_elses_key_proves_nothing(guarding: Ingest) -> None:
    other = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
    assert ask(guarding, assertion(other)).json["error"] == "invalid_client"


@pytest.mark.parametrize("body", [b"", b"\xff\xfe", b"a" * 100_000, b"&" * 5_000])
def test_3_2_no_form_is_a_5xx(guarding: Ingest, body: bytes) -> None:
    assert guarding.request("POST", "/token", body).status == 400


def test_3_2_without_the_sources_a_token_has_to_wait(
    server: Ingest, private_key: rsa.RSAPrivateKey
) -> None:
    server.world.keys = None
    reply = ask(server, assertion(private_key))
    assert (reply.status, reply.json["error"]) == (503, "unavailable")
    assert int(reply.headers["X-RateLimit-Reset"]) == int(reply.headers["Retry-After"])


@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "Bearer "}, {"Authorization": "Basic V0s6"}]
)
def test_3_2_a_source_that_asks_for_a_token_takes_nothing_without(
    guarding: Ingest, headers: dict[str, str]
) -> None:
    reply = guarding.request("POST", "/v1/track", TRACK | {"writeKey": "WK"}, headers)
    assert (reply.status, reply.json["code"]) == (401, "oauth_required")
    assert guarding.world.records == []


def test_3_2_a_token_that_does_not_hold_is_a_511_so_that_the_batch_is_sent_again(
    guarding: Ingest, private_key: rsa.RSAPrivateKey
) -> None:
    good = ask(guarding, assertion(private_key)).json["access_token"]
    own = {"iss": "afflux-ingest", "sub": "client", "key": "k", "exp": NOW + 600}
    forged = jwt.encode(own, b"x" * 32, algorithm="HS256")
    unsigned = jwt.encode(own, "", algorithm="none")
    for token in ("x", forged, unsigned, good[:-2], assertion(private_key)):
        reply = bearing(guarding, token)
        assert (reply.status, reply.json["code"]) == (511, "oauth_token_rejected")
    assert bearing(guarding, good).status == 200


def token_of(header: str, payload: str = "{}") -> str:
    parts = (
        base64.urlsafe_b64encode(part.encode()).decode().rstrip("=") for part in (header, payload)
    )
    return ".".join((*parts, "c2ln"))


NESTED = "[" * 20_000
STRANGE = [
    token_of(NESTED),
    token_of(f'{{"alg":"HS256","typ":{NESTED}'),
    token_of('{"alg":"HS256"}', NESTED),
    token_of('{"alg":"RS256","kid":"k1"}', '{"sub":"client","exp":Infinity,"iat":1e999}'),
    token_of('{"alg":7}'),
    token_of("\ud800".encode("utf-16", "surrogatepass").hex()),
    "...",
    "\xff",
]


@pytest.mark.parametrize("token", STRANGE, ids=lambda token: token[:20])
def test_3_2_no_token_is_a_500(guarding: Ingest, token: str) -> None:
    assert bearing(guarding, token).status == 511
    assert ask(guarding, token).json["error"] == "invalid_client"


def test_3_2_a_token_is_revoked_with_the_key_that_vouched_for_it(
    guarding: Ingest, private_key: rsa.RSAPrivateKey
) -> None:
    token = ask(guarding, assertion(private_key)).json["access_token"]
    assert bearing(guarding, token).status == 200
    other = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
    guarding.world.keys = key_table(("WK", guarded(other)))
    assert bearing(guarding, token).status == 511


def test_3_2_tokens_are_not_looked_at_where_none_is_asked_for(
    server: Ingest, private_key: rsa.RSAPrivateKey
) -> None:
    assert bearing(server, "nonsense").status == 200
    server.world.durable.clear()
    server.world.keys = key_table(("WK", guarded(private_key, required=False)))
    assert bearing(server, "nonsense").status == 200


def test_3_2_the_segment_library_fetches_a_token_and_delivers(
    private_key: rsa.RSAPrivateKey,
) -> None:
    errors: list[Exception] = []
    with ingest(public_url=None) as server:
        server.world.keys = key_table(("WK", guarded(private_key)))
        client = Client(
            "WK",
            host=server.url,
            upload_interval=0.05,
            oauth_client_id="client",
            oauth_client_key=private_pem(private_key),
            oauth_key_id="k1",
            oauth_auth_server=server.url,
            on_error=lambda error, _: errors.append(error),
        )
        client.track("u1", "Bought")
        client.flush()
        client.join()
        assert errors == []
        assert [event["event"] for event in server.world.events] == ["Bought"]
