"""What a destination is made of: its contract, and a few pure functions over one change."""

import re
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, Generic, Literal, TypeVar
from urllib.parse import quote, urlencode

from pydantic import BaseModel, ConfigDict, Field, HttpUrl, SecretStr, StrictBool

from services.activator.domain.answer import Answer
from services.activator.domain.change import Change
from services.activator.domain.contract import Action, Contract, Endpoint
from services.activator.domain.naming import Place
from services.activator.domain.outcomes import Reading, Response
from services.activator.domain.person import Identify
from services.activator.domain.requests import Request, as_json
from services.activator.domain.rules import Dialling


class DestinationSettings(BaseModel):
    """What every destination's settings have; unknown keys are errors."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        coerce_numbers_to_str=True,  # An id of digits needs no quotes.
    )

    base_url: HttpUrl | None = None
    """Replaces the platform's own address, up to the first part of the paths in its pages."""
    token_url: HttpUrl | None = None
    """Replaces the address that gives out tokens."""
    default_country_code: str | None = Field(default=None, pattern=r"^[1-9][0-9]{0,2}$")
    """Calling code for phone numbers written without one, such as `44`."""
    national_number_max: int = Field(default=10, ge=1, le=15)
    """Most digits of a phone number without its country code."""
    linger: float | None = Field(default=None, ge=0, le=60)
    """For how many seconds changes are collected for one request."""
    allow_private: StrictBool = False
    """Permits private addresses and plain http, for this instance alone."""
    dry_run: str | None = Field(default=None, pattern=r"^/")
    """A file that requests are written to instead of being sent."""


_BRACES = re.compile(r"\{(\w+)\}")
S = TypeVar("S", bound=DestinationSettings)


class Unsendable(Exception):
    """A change that this platform can never take; `reason` is from a closed set."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Audience:
    """A segment as the destination follows it."""

    id: str
    """Of the segment."""
    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    vendor_id: str | None = None
    """The platform's own id of it, once it is there."""
    created_at: datetime | None = None
    """When we created it there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """One entry of a request, made of one change."""

    payload: Any
    key: tuple[str, ...] = ()
    """Entries with different keys do not share a request."""
    unique: str | None = None
    """Entries with the same value are joined into one."""
    names: tuple[str, ...] = ()
    """By what an answer may call it: ids and values as they are sent."""
    array: str = ""
    """The array of the request that it belongs into, where there are several."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry of a request, for all the changes that were joined in it."""

    changes: tuple[Change, ...]
    draft: Draft
    place: Place
    again: bool = False
    """An earlier attempt may have arrived."""

    @property
    def is_remove(self) -> bool:
        return self.place.is_remove


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What goes into one request."""

    endpoint: Endpoint
    audience: Audience | None
    entries: tuple[Entry, ...]
    at: datetime
    """Of this attempt."""
    session: int
    """A random positive number, one for each attempt."""

    @property
    def payloads(self) -> list[Any]:
        return [entry.draft.payload for entry in self.entries]

    @property
    def key(self) -> tuple[str, ...]:
        return self.entries[0].draft.key

    @property
    def again(self) -> bool:
        """Whether some of it may have arrived before."""
        return any(entry.again for entry in self.entries)

    def split(self) -> tuple[list[Any], list[Any]]:
        """The payloads to add and those to remove."""
        adds = [entry.draft.payload for entry in self.entries if not entry.is_remove]
        return adds, [entry.draft.payload for entry in self.entries if entry.is_remove]

    def array(self, name: str) -> list[Any]:
        """The payloads of one of several arrays."""
        return [entry.draft.payload for entry in self.entries if entry.draft.array == name]


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """What authorises calls for a while."""

    value: str
    renew_at: datetime
    base_url: str | None = None
    """Where to call with it, when the platform says so."""


@dataclass(frozen=True, kw_only=True)
class Setup(Generic[S]):
    """An instance as a request is built for it. Never printed: it holds secrets."""

    contract: Contract
    settings: S
    destination_id: str
    now: datetime
    token: Token | None = None
    vendor_ids: Mapping[str, str] = field(default_factory=dict)
    """Profile → the platform's own id of it, as far as it is known."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """What every call carries."""
    rehearsal: bool = False
    """The request is only to be checked by the platform."""
    opt_in: bool = False
    """Whether the instance writes people's subscription at the platform."""

    def __repr__(self) -> str:
        return f"Setup({self.destination_id})"

    @cached_property
    def identify(self) -> Identify:
        settings = self.settings
        dialling = Dialling(settings.default_country_code, settings.national_number_max)
        return Identify(self.contract, dialling)

    def url(self, path: str, query: Mapping[str, object] | None = None, **values: object) -> str:
        """The address of a path, its braces filled and quoted."""
        given = self.settings.base_url
        tail = f"?{urlencode(query)}" if query else ""
        base = str(given) if given else (self.token and self.token.base_url) or self._own_base()
        return base.rstrip("/") + path.format_map(_quoted(values)) + tail

    def _own_base(self) -> str:
        """The platform's address; what is in braces is a setting."""
        template = self.contract.base_url
        return _BRACES.sub(lambda found: str(getattr(self.settings, found[1])), template)

    def request(
        self,
        url: str,
        body: Any = None,
        *,
        method: str = "POST",
        headers: Mapping[str, str] | None = None,
    ) -> Request:
        """A JSON call with the headers that every call carries."""
        return Request.of_json(
            url, body, method=method, headers={**self.headers, **(headers or {})}
        )


def _quoted(values: Mapping[str, object]) -> dict[str, str]:
    return {name: quote(str(value), "") for name, value in values.items()}


Drafts = Callable[[Change, Endpoint, Audience | None, Setup[Any]], Sequence[Draft]]
"""The entries of one change; raises `Unsendable`. Pure."""
Build = Callable[[Batch, Setup[Any]], Request]
Call = Callable[[Batch, Setup[Any]], Generator[Request, Response, Response]]
"""Several calls in a row: yields each and is given its answer; returns the one about the items."""


def _never(_answer: Answer) -> bool:
    return False


def _no_more(_answer: Answer, _asked: Mapping[str, str]) -> Mapping[str, str]:
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class AudienceCalls:
    """How an audience is looked up and made."""

    create: Callable[[Audience, Setup[Any]], Request]
    created: Callable[[Answer, Audience], str | None]
    """The id in the answer to `create`."""
    find: Callable[[Audience, Setup[Any]], Request] | None = None
    found: Callable[[Answer, Audience], str | None] | None = None
    """The id in the answer to `find`; None when it is not there."""
    more: Callable[[Answer, Mapping[str, str]], Mapping[str, str]] = _no_more
    """What to add to the query of `find` for the next page, given what was added for this one;
    empty after the last."""
    absent: tuple[int, ...] = (404,)
    """Statuses of `find` that mean it is not there."""
    exists: tuple[int, ...] = (409,)
    """Statuses of `create` that mean it is there: look it up again."""
    settle_s: int = 0
    """Wait so long before a new one is used."""
    verify: Callable[[Audience, Setup[Any]], Request] | None = None
    """Asks how one that is there stands."""
    is_closed: Callable[[Answer], bool] = _never
    """Whether the answer to `verify` says that it may not be written to."""
    unmade: str | None = None
    """Where the platform's owner makes it: the reason of the pause while it is not there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hint:
    """What an answer says about how much more the platform wants."""

    pause: timedelta | None = None
    slower: bool = False


JobState = Literal["running", "done", "partial", "failed"]


@dataclass(frozen=True, slots=True)
class Schedule:
    """The waits between attempts; turned into time by `services.runtime.delivery`."""

    delays: tuple[timedelta, ...]
    jitter: float
    within: timedelta | None = None
    """How long after the first attempt failed there may be another."""


GENERAL_SCHEDULE = Schedule(
    tuple(timedelta(seconds=min(300, 2**n) / 2) for n in range(11)),
    jitter=1.0,
    within=timedelta(hours=24),
)
"""Twelve attempts with full jitter, but for a day at the most: a platform may ask for long waits.
For destinations without a schedule of their own."""


def _no_headers(_settings: Any, _token: Token | None) -> Mapping[str, str]:
    return {}


def _no_failures(_answer: Answer) -> Mapping[str, int]:
    return {}


def _no_variant(_settings: Any, _action: Action) -> str:
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination(Generic[S]):
    """One kind of destination."""

    contract: Contract
    settings: type[S]
    drafts: Drafts
    build: Build | None = None
    call: Call | None = None
    """Instead of `build`, where one request needs several calls."""
    headers: Callable[[S, Token | None], Mapping[str, str]] = _no_headers
    """What every call carries: who we are, which version we speak."""
    grant: Callable[[S, datetime], Request | None] | None = None
    """The call that gets a token, for platforms whose tokens run out; None where the instance has
    one that lasts."""
    audiences: AudienceCalls | None = None
    learn: Callable[[Batch, Answer], Mapping[str, str]] | None = None
    """Profile → the platform's own id, as an answer tells it."""
    hint: Callable[[Answer, datetime], Hint | None] | None = None
    unattributed: Callable[[Answer, Sequence[Reading]], int] | None = None
    """How many items an answer counts as failed and does not name."""
    variant: Callable[[S, Action], str] = _no_variant
    """Which of several ways the instance has chosen for an operation."""
    introduction_s: int = 0
    """Wait so long after a profile was made before it is added to an audience."""
    schedule: Schedule = GENERAL_SCHEDULE
    check: Callable[[S], None] | None = None
    """Raises `BadSecret` when the secrets, once resolved, have the wrong form."""
    job: Callable[[Answer], str | None] | None = None
    """The id of the job in the answer that accepted it."""
    job_state: Callable[[Answer], JobState] | None = None
    """How far a job is."""
    job_failures: Callable[[Answer], Mapping[str, int]] = _no_failures
    """How many items of a job have failed, by the platform's own reasons; it names none of them."""
    lifetime: Callable[[S], timedelta | None] | None = None
    """How long a membership lasts at the platform unless it is sent again."""

    @property
    def name(self) -> str:
        return self.contract.name

    @property
    def profiles(self) -> bool:
        """Whether it can be told about profiles."""
        return any(each.action == "upsert_profile" for each in self.contract.endpoints)

    def introduction(self, settings: S) -> Endpoint | None:
        """How a profile is made so that the platform tells its id."""
        chosen = self.variant(settings, "upsert_profile")
        alone = self.contract.endpoint("upsert_profile", "single")
        return alone or self.contract.endpoint("upsert_profile", chosen)

    @property
    def members(self) -> bool:
        """Whether it has audiences."""
        return any(each.action == "add_member" for each in self.contract.endpoints)

    @property
    def events(self) -> bool:
        """Whether it takes conversion events."""
        return any(each.action == "send_event" for each in self.contract.endpoints)

    def calls(self, batch: Batch, setup: Setup[Any]) -> Generator[Request, Response, Response]:
        """Every call that the batch needs, one after the other."""
        if self.call is not None:
            return (yield from self.call(batch, setup))
        assert self.build is not None
        return (yield self.build(batch, setup))


def with_secrets(settings: S, resolve: Callable[[str], SecretStr]) -> S:
    """The settings with each reference to a secret replaced by the secret."""
    return settings.model_copy(
        update={name: _resolved(value, resolve) for name, value in settings if _is_secret(value)}
    )


def _is_secret(value: object) -> bool:
    return isinstance(value, SecretStr) or (
        isinstance(value, tuple) and any(isinstance(part, SecretStr) for part in value)
    )


def _resolved(value: object, resolve: Callable[[str], SecretStr]) -> object:
    if isinstance(value, SecretStr):
        return resolve(value.get_secret_value())
    return tuple(_resolved(part, resolve) for part in value) if isinstance(value, tuple) else value


def mapped(change: Change) -> Mapping[str, Any]:
    """The traits of a profile update, by the platform's names; of other changes none."""
    is_update = change.audience_id is None and change.conversion is None
    return change.person.traits if is_update else {}


def rfc3339(instant: int) -> str:
    """Unix milliseconds as text in UTC, without a fraction that is zero."""
    text = datetime.fromtimestamp(instant / 1000, UTC).isoformat(timespec="milliseconds")
    return text.removesuffix("+00:00").removesuffix(".000") + "Z"


def flat(value: Any) -> Any:
    """The value for a platform that knows no lists and objects: those as JSON text."""
    return as_json(value).decode() if isinstance(value, dict | list) else value


def text_id(value: Any) -> str | None:
    """An id as platforms answer it, a number or a text."""
    return str(value) if isinstance(value, str | int) and value != "" else None
