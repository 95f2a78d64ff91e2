"""What is known about a platform, as data: addresses, limits, identifiers, meaning of answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from services.activator.domain.change import Operation
from services.activator.domain.rules import Hash

Category = Literal["ads", "messaging", "crm", "generic"]
Scope = Literal["app", "account", "workspace", "token", "member", "project", "endpoint"]
Action = Operation | Literal["create_audience"]
Verb = Literal[
    "DELIVERED",
    "RETRY",
    "THROTTLED",
    "SPLIT",
    "AUTH",
    "CONFIG",
    "PERMANENT",
    "SPLIT_THEN_PERMANENT",
    "ITEM_PERMANENT_REST_RESENT",
    "ITEM_BY_INDEX_PERMANENT",
    "ITEM_BY_ARRAY_INDEX_PERMANENT",
    "ITEM_BY_TRACE_ID_PERMANENT",
    "ITEM_BY_VALUE_PERMANENT",
    "ITEM_BY_VALUE",
    "ITEM_BY_STATUS",
    "ITEM_RETRY",
    "ITEM_CONFIG",
    "RETRY_WITH_ID",
    "UPSERT_THEN_RETRY_ONCE",
    "RETRY_THEN_CONFIG",
]
"""An outcome of the whole request, or one that is taken apart item by item."""
Results = Literal["none", "index", "value", "trace_id", "array_index", "count_only", "async_job"]
"""How an answer speaks of the items of its request."""


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `requests` in any `per_s` seconds, or `in_flight` at once, within a scope."""

    scope: Scope
    requests: int = 0
    per_s: float = 0
    in_flight: int = 0


@dataclass(frozen=True, slots=True)
class IdType:
    """One identifier as the platform wants it."""

    rule: str
    hash: Hash = "none"
    upper: bool = False
    max_length: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One operation of the platform."""

    action: Action
    method: str
    path: str
    variant: str = ""
    """The setting that chooses this one of several ways."""
    max_items: int = 1
    max_bytes: int | None = None
    max_item_bytes: int | None = None
    max_ids: int | None = None
    """Most identifiers of one item."""
    batch_key: tuple[str, ...] = ()
    """What is equal for all items of one request."""
    unique_by: str | None = None
    """Items with the same value share one entry of a request, and its outcome."""
    mixes: bool = False
    """One request may carry adds and removes."""
    shares_with: tuple[Action, ...] = ()
    """Operations whose items travel in the same request and count together."""
    accepted_only: bool = False
    """A success means that the platform has queued it."""
    atomic: bool = False
    """One bad item refuses the whole request."""
    results: Results = "none"
    success: tuple[int, ...] = ()
    """The statuses that mean success; empty for all of 2xx."""
    promises: str | None = None
    """What the body of a success must hold; an answer without it is none."""
    bare: tuple[int, ...] = (204,)
    """The statuses of a success without a body."""
    success_text: str | None = None
    """The whole body of a success, where it is no JSON."""
    requires: str | None = None
    """A platform's own id of the profile, to be known first."""
    not_found_is: Literal["DELIVERED"] | None = None
    rates: tuple[Rate, ...] = ()
    """Replace those of the destination."""
    dedup: str | None = None
    dedup_window_s: int | None = None
    max_age_s: int | None = None
    """Older events are not sent."""
    max_store_age_s: int | None = None
    """For events in a physical store."""
    max_future_s: int | None = None
    headers: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One meaning of an answer; of several the first that fits decides."""

    name: str
    outcome: Verb
    http: tuple[int, ...] = ()
    """Statuses it is for; (300, 399) with `http_range` for a range; empty for any."""
    http_range: tuple[int, int] | None = None
    match: Mapping[str, Any] | None = None
    applies_to: tuple[str, ...] = ()
    """Operations, or `poll`; empty for all."""
    refresh: bool = True
    """Whether a new token may help."""
    retry_after_s: int | None = None
    max_age_s: int | None = None
    pause_s: int | None = None
    pause_most_s: int | None = None
    """Each further pause is twice the last, up to this."""
    window_s: int | None = None
    recheck_s: int | None = None
    until: str | None = None
    id_from: str | None = None
    items_from: str | None = None
    item_values: str | None = None
    item_status: str | None = None
    unindexed: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Poll:
    """How the state of an accepted job is asked for."""

    path: str
    first_after_s: int
    schedule_s: tuple[int, ...] = ()
    query: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """Everything about one platform that is no code."""

    name: str
    category: Category
    base_url: str = ""
    token_url: str | None = None
    api_version: str = ""
    endpoints: Sequence[Endpoint]
    rates: Sequence[Rate] = ()
    timeout_s: float = 30
    transport: Literal["http", "kafka", "filesystem", "sql"] = "http"
    ids: Mapping[str, IdType] | None = None
    errors: Sequence[Row] = ()
    body_code_first: bool = False
    """The body says more than the status: a row with `match` is tested on the body alone."""
    partial_errors_per_item: bool = False
    """Errors with positions are judged one by one."""
    value_lists: Mapping[str, tuple[str, ...]] | None = None
    index_base: int = 0
    poll: Poll | None = None
    restricted_field: str | None = None
    """Ads: the flag for people who opted out of the sale of their data."""
    subscription_field: str | None = None
    """Messaging: where a person's wish to be written to is kept."""
    by_profile: bool = False
    """A person is known there by the id of the profile, and by nothing else."""
    membership: str = "list"
    """How the platform represents an audience."""
    test_mode: str | None = None
    """The body field that makes a request a rehearsal."""
    rehearsal: str | None = None
    """Where else the platform can be tried: a sandbox, an account for tests."""
    optional: bool = False

    @property
    def speaks_of_items(self) -> bool:
        """Whether its answers tell of the single items of a request, and grow with them."""
        return any(each.results != "none" for each in self.endpoints)

    def endpoint(self, action: Action, variant: str = "") -> Endpoint | None:
        """The operation, in the variant of the instance."""
        found = [each for each in self.endpoints if each.action == action]
        return next((each for each in found if each.variant in ("", variant)), None)
