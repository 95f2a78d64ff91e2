"""How a suppressed person is named in the log: by a keyed digest, which tells nobody who it is."""

from hashlib import blake2b

from schemas.records import SubjectType


class Digests:
    """The digests under one secret; those under another one cannot be compared with them."""

    def __init__(self, secret: bytes) -> None:
        self._key = blake2b(secret).digest()
        self.key_id = self._hex("key")[:16]
        """Names the secret without giving it away."""

    def of(self, subject_type: SubjectType, subject_id: str) -> str:
        """The digest of an id of this kind; white space around it does not matter."""
        return self._hex(f"{subject_type}\0{without_nul(subject_id.strip())}")

    def _hex(self, text: str) -> str:
        message = text.encode("utf-8", "surrogatepass")
        return blake2b(message, key=self._key, digest_size=20).hexdigest()


def without_nul(text: str) -> str:
    """As events carry it once they are accepted; PostgreSQL takes no NUL."""
    return text.replace("\0", "\ufffd")


def suppression_key(source_id: str | None, digest: str, *, regulation_id: str = "") -> str:
    """The key of a suppression in its topic; an erasure has one of its own."""
    kind = f"erasure {regulation_id}" if regulation_id else "suppression"
    return f"{kind}:{source_id or ''}:{digest}"
