"""Who may send: keys, tokens, origins, rates (contract §3, §4, §6)."""

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


def basic(text: str, scheme: str = "Basic") -> str:
    return f"{scheme} {base64.b64encode(text.encode()).decode()}"


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": basic("WK:")},
        {"Authorization": basic("WK")},
        {"Authorization": basic("WK:password")},
        {"Authorization": basic("WK:", "bASIC")},
        {"Authorization": basic("WK:").rstrip("=")},
        {"Authorization": "Basic ~~~", "X-Write-Key": "WK"},
        {"Authorization": basic("***"), "X-Write-Key": "WK"},
        {"Authorization": basic("keyid:***:"), "X-Write-Key": "WK"},
        {"Authorization": "Bearer OFF", "X-Write-Key": "WK"},
        {"X-Write-Key": "WK"},
        {"X-Write-Key": "WK:secret"},
    ],
)
def test_3_1_a_key_is_found_wherever_a_header_may_hold_it(
    server: Ingest, headers: dict[str, str]
) -> None:
    body = TRACK | {"writeKey": "OFF"}
    assert server.request("POST", "/v1/track?writeKey=OFF", body, headers).status == 200


@pytest.mark.parametrize(
    ("query", "body"),
    [
        ("?writeKey=WK", {"writeKey": "OFF"}),
        ("?writekey=WK", {"writeKey": "OFF"}),
        ("?writeKey=&writekey=WK", {"writeKey": "OFF"}),
        ("?writeKey=***&writekey=id:***", {"writeKey": "WK"}),
        ("", {"writeKey": "WK", "batch": [TRACK | {"writeKey": "OFF"}]}),
        ("", {"writeKey": "", "batch": [TRACK | {"writeKey": "WK"}]}),
        ("", {"batch": [TRACK | {"writeKey": "WK"}]}),
    ],
)
def test_3_1_then_the_query_then_the_body(server: Ingest, query: str, body: dict[str, Any]) -> None:
    reply = server.request("POST", f"/v1/batch{query}", {"batch": [TRACK]} | body)
    assert (reply.status, len(server.world.events)) == (200, 1)
    assert "writeKey" not in server.world.events[0]


@pytest.mark.parametrize("key", ["nobody", "WK2", "wk", " WKx", "W"])
def test_3_1_an_unknown_key_is_a_401_and_stores_nothing(server: Ingest, key: str) -> None:
    reply = server.post("/v1/track", TRACK, X_Write_Key=key)
    assert (reply.status, reply.json["code"]) == (401, "invalid_write_key")
    assert key not in reply.json["message"]
    assert server.world.records == []


@pytest.mark.parametrize("keys", [None, key_table(is_complete=False)], ids=["none", "incomplete"])
def test_3_1_without_the_whole_table_no_key_is_wrong(server: Ingest, keys: Any) -> None:
    server.world.keys = keys
    reply = server.post("/v1/track", TRACK)
    assert (reply.status, reply.json["code"]) == (503, "unavailable")
    assert int(reply.headers["Retry-After"]) >= 1


def test_3_1_two_keys_of_a_source_overlap_until_the_old_one_goes(server: Ingest) -> None:
    web = source("web")
    server.world.keys = key_table(("OLD", web), ("NEW", web))
    for number, key in enumerate(("OLD", "NEW")):
        assert (
            server.post("/v1/track", TRACK | {"messageId": f"{number}"}, X_Write_Key=key).status
            == 200
        )
    server.world.keys = key_table(("NEW", web))
    assert server.post("/v1/track", TRACK, X_Write_Key="OLD").status == 401
    assert server.post("/v1/track", TRACK, X_Write_Key="NEW").status == 200


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("https://shop.example", 200),
        ("HTTPS://Shop.Example", 200),
        ("https://shop.example:444", 403),
        ("http://shop.example", 403),
        ("null", 403),
        ("https://shop.example.evil", 403),
    ],
)
@pytest.mark.parametrize("key_in_body", [False, True])
def test_4_a_source_may_take_events_of_its_own_pages_only(
    server: Ingest, origin: str, status: int, key_in_body: bool
) -> None:
    key, headers = ({"writeKey": "PAGES"}, {}) if key_in_body else ({}, {"X-Write-Key": "PAGES"})
    reply = server.request("POST", "/v1/t", TRACK | key, headers | {"Origin": origin})
    assert reply.status == status
    assert reply.headers["Access-Control-Allow-Origin"] == origin
    assert len(server.world.records) == (status == 200)
    if status == 403:
        assert reply.json["code"] == "origin_not_allowed"


def test_4_a_list_of_origins_says_nothing_about_servers(server: Ingest) -> None:
    assert server.post("/v1/track", TRACK, X_Write_Key="PAGES").status == 200


def test_6_a_source_over_its_rate_is_told_when_to_come_again(server: Ingest) -> None:
    slow = source("slow", rate={"per_second": 0.1, "burst": 2})
    server.world.keys = key_table(("WK", slow), ("OTHER", source("other")))
    replies = [server.post("/v1/track", TRACK | {"messageId": f"{n}"}) for n in range(3)]
    assert [reply.status for reply in replies] == [200, 200, 429]
    assert replies[2].json["code"] == "rate_limited"
    assert 1 <= int(replies[2].headers["Retry-After"]) <= 10
    assert replies[2].headers["X-RateLimit-Reset"] == replies[2].headers["Retry-After"]
    assert server.post("/v1/track", TRACK, X_Write_Key="OTHER").status == 200


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
    "headers", [{}, {"Authorization": "Bearer "}, {"Authorization": basic("WK:")}]
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
