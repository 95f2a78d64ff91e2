"""The token of one destination: fetched once for all who wait, renewed before it runs out."""

import asyncio
from datetime import timedelta
from typing import Any, Protocol

from services.activator.clock import Clock
from services.activator.domain.answer import Answer
from services.activator.domain.outcomes import Failure, Outcome, Reading, Response, read_status
from services.activator.domain.platform import Destination, DestinationSettings, Token
from services.activator.domain.requests import Request
from services.activator.limiter import Paused

MARGIN = timedelta(seconds=300)
LASTS_UNSAID = timedelta(minutes=30)
"""How long a token is used whose answer does not say how long it lasts."""


class NoToken(Exception):
    """Why there is none."""

    def __init__(self, reading: Reading) -> None:
        self.reading = reading
        super().__init__(reading.reason)


class Client(Protocol):
    """The way out."""

    async def send(self, request: Request) -> Response | Failure: ...


class Tokens:
    """Gives out the current token."""

    def __init__(
        self,
        destination: Destination[Any],
        settings: DestinationSettings,
        client: Client,
        clock: Clock,
    ) -> None:
        self._destination = destination
        self._settings = settings
        self._client = client
        self._clock = clock
        self._token: Token | None = None
        self._one_at_a_time = asyncio.Lock()

    async def current(self) -> Token | None:
        """A token that still lasts; None where the platform has none.

        Raises:
            NoToken: it could not be had.
        """
        if not self._runs_out:
            return None
        async with self._one_at_a_time:
            if self._token is None or self._token.renew_at <= self._clock.now():
                self._token = await self._fetch()
            return self._token

    async def renewed(self, refused: Token | None) -> Token | None:
        """Another token than the refused one, fetched at most once for all who were refused.

        Raises:
            NoToken: it could not be had.
        """
        if not self._runs_out:
            return None
        async with self._one_at_a_time:
            if self._token is refused:
                self._token = await self._fetch()
            return self._token

    @property
    def _runs_out(self) -> bool:
        return self._request() is not None

    def _request(self) -> Request | None:
        grant = self._destination.grant
        is_rehearsed = self._settings.dry_run is not None
        return None if grant is None or is_rehearsed else grant(self._settings, self._clock.now())

    async def _fetch(self) -> Token:
        now, request = self._clock.now(), self._request()
        assert request is not None
        try:
            answered = await self._client.send(request)
        except Paused as paused:
            wait = paused.until - now
            raise NoToken(Reading(paused.outcome, paused.reason, retry_after=wait)) from paused
        if isinstance(answered, Failure):
            raise NoToken(Reading(answered.outcome, answered.reason))
        answer = Answer(answered)
        value = answer.first("access_token")
        if answer.status != 200 or not isinstance(value, str):
            raise NoToken(self._refusal(answer))
        base_url = answer.first("instance_url")
        return Token(
            value=value,
            renew_at=now + _use(answer.first("expires_in")),
            base_url=base_url if isinstance(base_url, str) else None,
        )

    def _refusal(self, answer: Answer) -> Reading:
        """A refused grant needs a person; a platform in trouble needs patience."""
        if 400 <= answer.status <= 403 or answer.status == 200:
            return Reading(Outcome.AUTH, "grant_refused", answer.status)
        return read_status(answer.response, self._clock.now())


def _use(expires_in: Any) -> timedelta:
    """How long a token is used; a short one for half its life."""
    if isinstance(expires_in, bool) or not isinstance(expires_in, int | float):
        return LASTS_UNSAID
    lasts = timedelta(seconds=expires_in)
    return lasts - min(MARGIN, lasts / 2)
