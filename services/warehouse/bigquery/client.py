"""BigQuery's own library, of which every call runs in a thread and every query can be cancelled."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials, Credentials
from google.cloud import bigquery
from google.oauth2.service_account import Credentials as ServiceAccount

from services.runtime.secrets import UnresolvedSecret, resolve
from services.runtime.stage import Blocked
from services.warehouse.bigquery.trouble import understood
from services.warehouse.domain.bigquery.statements import NOW
from services.warehouse.domain.bigquery.values import Column, columns_of
from services.warehouse.domain.source import BigQuerySource
from services.warehouse.patience import SourceAway

T = TypeVar("T")
Page = Mapping[str, Any]
"""Of an answer, as the API writes it."""
Value = str | Sequence[str]
"""That is bound."""

CALL_S = 60.0
"""A call that takes longer has failed; queries are looked at again and again."""
CANCEL_S = 5.0
FIRST_LOOK_S, LAST_LOOK_S = 0.02, 1.0


@dataclass(frozen=True, slots=True)
class Found:
    """A table, as its metadata say."""

    is_table: bool
    """And no view, which has no history."""
    created: int
    """Unix milliseconds."""
    kept_hours: int
    """How far back its dataset lets time travel."""
    columns: Mapping[str, Column]
    """By their names in small letters, which is how BigQuery tells them apart."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A page, and what its columns are."""

    columns: tuple[Column, ...]
    page: Page
    place: str
    """Behind it: the name of the answer, and the number of its rows so far."""


class Session:
    """Calls for one source; every one that fails says what that means (`understood`)."""

    def __init__(self, source: BigQuerySource) -> None:
        """
        Raises:
            UnresolvedSecret: the reference to the credentials points at nothing of use.
        """
        self._source = source
        endpoint = ClientOptions(api_endpoint=source.api_endpoint) if source.api_endpoint else None
        self._client = bigquery.Client(
            project=source.project,
            credentials=_credentials(source),
            location=source.location,
            client_options=endpoint,
        )

    def close(self) -> None:
        """Its connections."""
        self._client.close()  # type: ignore[no-untyped-call]

    async def now(self) -> int:
        """BigQuery's clock, microseconds since 1970."""
        async for answer in self.answers(NOW, "the clock"):
            return int(answer.page["rows"][0]["f"][0]["v"])
        raise AssertionError("a SELECT without FROM has a row")

    async def table(self, address: tuple[str, ...], relation: str) -> Found:
        """
        Raises:
            Blocked: it is not there.
        """
        project, dataset, _ = address
        table = await self._call(relation, self._client.get_table, ".".join(address))
        held = await self._call(relation, self._client.get_dataset, f"{project}.{dataset}")
        return Found(
            is_table=table.table_type == "TABLE",
            created=round(table.created.timestamp() * 1000),
            kept_hours=int(held.max_time_travel_hours or _KEPT_HOURS),
            columns={column.name.lower(): column for column in _columns(table.schema)},
        )

    async def answers(
        self,
        statement: str,
        relation: str,
        values: Sequence[Value] = (),
        place: str | None = None,
    ) -> AsyncIterator[Answer]:
        """The pages of an answer, one at a time; there is always a first. `values` are bound to
        `@p1`, `@p2` and so on. `place`: from there on, of an answer that BigQuery keeps for a day.

        Raises:
            Blocked: waiting does not help.
            SourceAway: try again.
        """
        id_, _, told = (place or f"afflux_{uuid.uuid4().hex}:0").partition(":")
        number = int(told)
        job = await (
            self._call(relation, self._client.get_job, id_)
            if place
            else self._begun(statement, relation, id_, values)
        )
        found = await self._call(
            relation,
            job.result,
            page_size=self._source.rows_at_once,
            start_index=number,
            job_retry=None,
        )
        columns, pages = tuple(_columns(found.schema)), iter(found.pages)
        while (page := await asyncio.to_thread(_next, pages, relation)) is not None:
            number += page.num_items
            yield Answer(columns, page.raw_page, f"{id_}:{number}")

    async def bytes_of(self, statement: str, relation: str) -> int:
        """That the query would read, by BigQuery's own estimate; it is not run."""
        job = await self._dry_run(statement, relation)
        return int(job.total_bytes_processed or 0)

    async def described(self, statement: str, relation: str) -> tuple[Column, ...]:
        """The columns of its answer; it is not run."""
        return tuple(_columns((await self._dry_run(statement, relation)).schema))

    async def _dry_run(self, statement: str, relation: str) -> bigquery.QueryJob:
        job: bigquery.QueryJob = await self._call(
            relation,
            self._client.query,
            statement,
            job_config=self._config(relation, dry_run=True),
            job_retry=None,
        )
        return job

    async def _begun(
        self, statement: str, relation: str, id_: str, values: Sequence[Value]
    ) -> bigquery.QueryJob:
        try:
            return await self._started(statement, relation, id_, values)
        except asyncio.CancelledError:
            await self._cancel(id_)
            raise

    async def _started(
        self, statement: str, relation: str, id_: str, values: Sequence[Value]
    ) -> bigquery.QueryJob:
        """The query once it is done, well or not."""
        job: bigquery.QueryJob = await self._call(
            relation,
            self._client.query,
            statement,
            job_config=self._config(relation, values),
            job_id=id_,
            job_retry=None,
        )
        wait = FIRST_LOOK_S
        while not await self._call(relation, job.done):
            await asyncio.sleep(wait)
            wait = min(2 * wait, LAST_LOOK_S)
        return job

    async def _cancel(self, id_: str) -> None:
        """Nobody waits for it any more, so that it should not cost either."""
        with suppress(Blocked, SourceAway, TimeoutError):
            async with asyncio.timeout(CANCEL_S):
                await self._call("a query", self._client.cancel_job, id_)

    async def _call(self, relation: str, call: Callable[..., Any], *what: Any, **more: Any) -> Any:
        """One call without the library's own patience, which has no end to speak of."""
        return await asyncio.to_thread(_called, relation, call, what, more)

    def _config(
        self, relation: str, values: Sequence[Value] = (), *, dry_run: bool = False
    ) -> bigquery.QueryJobConfig:
        return bigquery.QueryJobConfig(
            query_parameters=[_parameter(*one) for one in enumerate(values, start=1)],
            labels={"afflux_source": label(self._source.id), "afflux_relation": label(relation)},
            maximum_bytes_billed=self._source.maximum_bytes_billed,
            job_timeout_ms=self._source.query_timeout_s * 1000,
            use_query_cache=False,
            dry_run=dry_run,
        )


_KEPT_HOURS = 168
"""Where a dataset does not say."""


def _parameter(
    number: int, value: Value
) -> bigquery.ScalarQueryParameter | bigquery.ArrayQueryParameter:
    if isinstance(value, str):
        return bigquery.ScalarQueryParameter(f"p{number}", "STRING", value)
    return bigquery.ArrayQueryParameter(f"p{number}", "STRING", list(value))


def _called(
    relation: str, call: Callable[..., Any], what: tuple[Any, ...], more: Mapping[str, Any]
) -> Any:
    with understood(relation):
        return call(*what, **more, retry=None, timeout=CALL_S)


def _next(pages: Any, relation: str) -> Any:
    with understood(relation):
        return next(pages, None)


def label(text: str) -> str:
    """As a label of BigQuery may be: small letters, digits, `_` and `-`, at most 63."""
    return "".join(c if c.isalnum() or c in "_-" else "_" for c in text.lower())[:63]


def _columns(schema: Any) -> tuple[Column, ...]:
    return columns_of({"fields": [field.to_api_repr() for field in schema]})


def _credentials(source: BigQuerySource) -> Credentials:
    if source.credentials is None:
        return AnonymousCredentials()  # type: ignore[no-untyped-call]
    try:
        key = json.loads(resolve(source.credentials).get_secret_value())
        account: Credentials = _of_account(key, scopes=_SCOPES)
    except (ValueError, TypeError, AttributeError):
        raise UnresolvedSecret("credentials: this is no JSON key of a service account") from None
    return account


_of_account: Callable[..., Credentials] = ServiceAccount.from_service_account_info
_SCOPES = ("https://www.googleapis.com/auth/bigquery",)
"""Of the token; what the account may do is its roles' to say."""
