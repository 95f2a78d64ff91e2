"""Standard Webhooks signatures: the receiver can tell that a call is ours and is fresh."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable

_PREFIX = "whsec_"
_SIZES = range(24, 65)


class BadSecret(ValueError):
    """The text is no signing secret; the message never quotes it."""


def signature(secrets: Iterable[str], *, message_id: str, timestamp: int, body: bytes) -> str:
    """The `webhook-signature` header: one signature a secret, in their order.

    Raises:
        BadSecret: a secret has another form.
    """
    signed = b".".join((message_id.encode(), str(timestamp).encode(), body))
    return " ".join(f"v1,{_sign(secret_bytes(secret), signed)}" for secret in secrets)


def secret_bytes(secret: str) -> bytes:
    """The key inside `whsec_…`.

    Raises:
        BadSecret: the text has another form or length.
    """
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadSecret("a signing secret is whsec_ and Base64") from error
    if not secret.startswith(_PREFIX) or len(key) not in _SIZES:
        raise BadSecret("a signing secret is whsec_ and the Base64 of 24 to 64 bytes")
    return key


def _sign(key: bytes, signed: bytes) -> str:
    return base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
