"""The token of one destination: fetched once for all who wait, renewed before it runs out."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Protocol

from services.activator.clock import Clock
from services.activator.domain.answer import Answer
from services.activator.domain.outcomes import Failure, Outcome, Reading, Response, read_status
from services.activator.domain.platform import Destination, DestinationSettings, Token
from services.activator.domain.requests import Request
from services.activator.limiter import FIRST_PAUSE, Paused

MARGIN = timedelta(seconds=300)
LASTS_UNSAID = timedelta(minutes=30)
"""How long a token is used whose answer does not say how long it lasts."""
LONGEST_LIFE_S = 10**9
REST = timedelta(seconds=1)
"""Whoever was refused a token at the same moment is refused by the same answer."""


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
        self._refusal: Reading | None = None
        self._refused_until = clock.now()
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
        """A new token; the last refusal again while it is fresh, and for as long as it asks for."""
        now = self._clock.now()
        if self._refusal is not None and now < self._refused_until:
            raise NoToken(replace(self._refusal, retry_after=self._refused_until - now))
        try:
            return await self._asked(now)
        except NoToken as none:
            self._refusal = replace(none.reading, retry_after=_rest(none.reading))
            self._refused_until = now + _rest(none.reading)
            raise NoToken(self._refusal) from none

    async def _asked(self, now: datetime) -> Token:
        request = self._request()
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
            raise NoToken(_meaning(answer, now))
        base_url = answer.first("instance_url")
        return Token(
            value=value,
            renew_at=now + _use(answer.first("expires_in")),
            base_url=base_url if isinstance(base_url, str) else None,
        )


def _meaning(answer: Answer, now: datetime) -> Reading:
    """A refused grant, or an address that gives out none, needs a person; a platform in trouble
    needs patience. None of it is the fault of what was to be sent."""
    usual = read_status(answer.response, now)
    if answer.is_html and answer.status != 401:
        return replace(usual, outcome=Outcome.RETRY, reason="html_answer")
    says_no = answer.status == 200 and answer.first("error") is not None
    if says_no or 400 <= answer.status <= 403:
        return Reading(Outcome.AUTH, "grant_refused", answer.status)
    match usual.outcome:
        case Outcome.DELIVERED:
            return replace(usual, outcome=Outcome.RETRY, reason="unreadable_answer")
        case Outcome.PERMANENT | Outcome.SPLIT:
            return replace(usual, outcome=Outcome.CONFIG, reason="no_token_there")
        case _:
            return usual


def _rest(reading: Reading) -> timedelta:
    """How long no token is asked for."""
    if reading.retry_after is None and reading.outcome is Outcome.THROTTLED:
        return FIRST_PAUSE
    return max(REST, reading.retry_after or REST)


def _use(expires_in: Any) -> timedelta:
    """How long a token is used; a short one for half its life."""
    is_number = isinstance(expires_in, int | float) and not isinstance(expires_in, bool)
    if not is_number or not 0 < expires_in < LONGEST_LIFE_S:
        return LASTS_UNSAID
    lasts = timedelta(seconds=expires_in)
    return lasts - min(MARGIN, lasts / 2)
