"""What a source asks of a request besides its write key: origin, token, rate, in that order."""

from collections.abc import Callable

import msgspec

from services.ingest.domain.codes import Refused
from services.ingest.domain.keys import KeyTable
from services.ingest.domain.oauth import Grant, OAuth
from services.ingest.domain.rate import Rate
from services.ingest.domain.source import Source


class Gate(msgspec.Struct, frozen=True):
    """Lets a request through to its source, or says why not."""

    origin: str | None
    bearer: str | None
    grant: Callable[[str], Grant | None]
    """What a token says, unless it is none of ours or no longer holds."""
    spend: Callable[[str, Rate], int]
    """Takes one request of a source's rate; else the seconds to wait."""

    def admitted(self, key: str, keys: KeyTable) -> Source:
        """The source that a key opens to this request.

        Raises:
            Refused: no such source, or it does not take the request.
        """
        source = keys.find(key)
        self.admit(source)
        return source

    def admit(self, source: Source) -> None:
        """Let the request through.

        Raises:
            Refused: it may not come in, or not now.
        """
        if self.origin is not None and not _is_allowed(self.origin, source):
            raise Refused("origin_not_allowed")
        if source.oauth is not None and source.oauth.required:
            self._check_token(source.oauth)
        wait = self.spend(source.id, source.rate) if source.rate else 0
        if wait:
            raise Refused("rate_limited", wait_s=wait)

    def _check_token(self, oauth: OAuth) -> None:
        if not self.bearer:
            raise Refused("oauth_required")
        grant = self.grant(self.bearer)
        if grant is None or not oauth.admits(grant):
            raise Refused("oauth_token_rejected")


def bearer(authorization: str | None) -> str | None:
    """The token in an Authorization header."""
    if not authorization:
        return None
    scheme, _, token = authorization.strip().partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def _is_allowed(origin: str, source: Source) -> bool:
    return not source.allowed_origins or origin.lower() in source.allowed_origins
