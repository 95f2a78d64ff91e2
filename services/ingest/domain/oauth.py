"""Who may fetch tokens for a source, and whose token a source takes."""

import base64
import binascii
import hashlib
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

_BEGIN, _END = "-----BEGIN PUBLIC KEY-----", "-----END PUBLIC KEY-----"


def _is_pem(text: str) -> str:
    lines = text.strip().splitlines()
    try:
        if lines[:1] != [_BEGIN] or lines[-1:] != [_END]:
            raise ValueError
        base64.b64decode("".join(lines[1:-1]), validate=True)
    except (ValueError, binascii.Error):
        raise ValueError(f"must be a public key in PEM, from `{_BEGIN}` to `{_END}`") from None
    return text.strip()


PublicKey = Annotated[str, AfterValidator(_is_pem)]


class OAuthClient(BaseModel):
    """A client and the keys that it signs with, by key id; more than one while they rotate."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)

    id: Annotated[str, Field(min_length=1)]
    public_keys: Annotated[dict[str, PublicKey], Field(min_length=1)]


class OAuth(BaseModel):
    """Tokens that requests must bring besides the write key."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    required: bool = True
    """False while clients move over: tokens can be fetched and are not asked for."""
    clients: Annotated[tuple[OAuthClient, ...], Field(min_length=1)]

    def admits(self, grant: "Grant") -> bool:
        """Whether the client still is one of the source's, with the key it fetched with."""
        return any(
            client.id == grant.client_id
            and any(fingerprint(key) == grant.key for key in client.public_keys.values())
            for client in self.clients
        )


@dataclass(frozen=True, slots=True)
class Grant:
    """What a token of ours says: its client, and the fingerprint of the key that vouched for it."""

    client_id: str
    key: str


def fingerprint(public_key: str) -> str:
    """Tells keys apart; two spellings of one key count as two."""
    return hashlib.sha256(public_key.encode()).hexdigest()
