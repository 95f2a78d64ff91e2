"""OAuth: a client that proves itself by a signed assertion gets a token for an hour."""

import hashlib
import time
from collections.abc import Iterable, Iterator, Mapping
from uuid import uuid4

import jwt

from services.ingest.domain import answers
from services.ingest.domain.answers import Answer
from services.ingest.domain.codes import TokenError
from services.ingest.domain.oauth import Grant, fingerprint
from services.ingest.domain.source import Source

SCOPE = "tracking_api:write"
LIFETIME_S = 3600
_ASSERTION_S = 60
"""Longest life of an assertion."""
_LEEWAY_S = 5
_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_ISSUER = "afflux-ingest"
_EXPIRED, _TOO_EARLY = "Token is expired", "Token used before issued"
"""Clients that read exactly these words set their clock by our Date and try again at once."""

BROKEN = (jwt.PyJWTError, ValueError, OverflowError, RecursionError)
"""What the library raises over tokens that nobody made for it."""


class Declined(Exception):
    """No token; the text is for the client's developer and quotes nothing."""

    def __init__(self, error: TokenError, description: str) -> None:
        super().__init__(description)
        self.error: TokenError = error
        self.description = description


class Tokens:
    """Issues and reads tokens; processes with the same secret take each other's."""

    def __init__(self, secret: bytes, *, public_url: str | None) -> None:
        self._secret = hashlib.sha256(secret).digest()
        self._audience = None
        if public_url:
            here = public_url.rstrip("/")
            self._audience = [here, f"{here}/", f"{here}/token"]

    def issue(self, form: Mapping[str, str], sources: Iterable[Source]) -> Answer:
        """The answer to a request for a token."""
        try:
            grant = self._vouched(form, sources)
        except Declined as declined:
            return answers.of_token_error(declined.error, declined.description)
        now = int(time.time())
        claims = {
            "iss": _ISSUER,
            "sub": grant.client_id,
            "key": grant.key,
            "iat": now,
            "exp": now + LIFETIME_S,
            "jti": uuid4().hex,
        }
        return answers.of_json(
            {
                "access_token": jwt.encode(claims, self._secret, algorithm="HS256"),
                "token_type": "Bearer",
                "expires_in": LIFETIME_S,
                "scope": SCOPE,
            }
        )

    def grant(self, token: str) -> Grant | None:
        """What a token says; None for one that is not ours or is over."""
        try:
            claims = jwt.decode(
                token,
                self._secret,
                algorithms=["HS256"],
                issuer=_ISSUER,
                options={"require": ["exp", "sub", "key"]},
            )
        except BROKEN:
            return None
        return Grant(claims["sub"], str(claims["key"]))

    def _vouched(self, form: Mapping[str, str], sources: Iterable[Source]) -> Grant:
        if form.get("grant_type") != "client_credentials":
            raise Declined("unsupported_grant_type", "grant_type must be client_credentials")
        if form.get("client_assertion_type") != _ASSERTION_TYPE:
            raise Declined("invalid_request", f"client_assertion_type must be {_ASSERTION_TYPE}")
        if form.get("scope", SCOPE) != SCOPE:
            raise Declined("invalid_scope", f"scope must be {SCOPE}")
        assertion = form.get("client_assertion", "")
        client_id, key_id = _named(assertion)
        for key in _keys(client_id, key_id, sources):
            if self._is_signed(assertion, key, client_id):
                return Grant(client_id, fingerprint(key))
        raise Declined("invalid_client", "no source knows this client and key")

    def _is_signed(self, assertion: str, key: str, client_id: str) -> bool:
        """Whether the key signed the assertion, for us and for now.

        Raises:
            Declined: it did, but not for now; the client may try again.
        """
        try:
            claims = jwt.decode(
                assertion,
                key,
                algorithms=["RS256"],
                audience=self._audience,
                issuer=client_id,
                subject=client_id,
                leeway=_LEEWAY_S,
                options={
                    "require": ["iss", "sub", "aud", "exp", "iat", "jti"],
                    "verify_aud": self._audience is not None,
                },
            )
        except jwt.ExpiredSignatureError as error:
            raise Declined("invalid_request", _EXPIRED) from error
        except jwt.ImmatureSignatureError as error:
            raise Declined("invalid_request", _TOO_EARLY) from error
        except jwt.InvalidAudienceError as error:
            raise Declined("invalid_client", "the assertion is meant for another server") from error
        except BROKEN:
            return False
        return int(claims["exp"]) - int(claims["iat"]) <= _ASSERTION_S


def _named(assertion: str) -> tuple[str, str]:
    """Whom the assertion claims to be from, and by which key; not proven yet."""
    try:
        key_id = jwt.get_unverified_header(assertion).get("kid")
        client_id = jwt.decode(assertion, options={"verify_signature": False}).get("sub")
    except BROKEN as error:
        raise Declined("invalid_client", "client_assertion is no JSON web token") from error
    if not isinstance(key_id, str) or not isinstance(client_id, str):
        raise Declined("invalid_client", "client_assertion names no kid or no sub")
    return client_id, key_id


def _keys(client_id: str, key_id: str, sources: Iterable[Source]) -> Iterator[str]:
    for source in sources:
        for client in source.oauth.clients if source.oauth and source.enabled else ():
            if client.id == client_id and key_id in client.public_keys:
                yield client.public_keys[key_id]
