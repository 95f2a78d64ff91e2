"""A relation's table as its models need it, and what is asked of the table's owner."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from services.runtime.secrets import UnresolvedSecret
from services.runtime.stage import Blocked
from services.warehouse.bigquery.client import Found, Session
from services.warehouse.bigquery.trouble import history_disabled
from services.warehouse.domain.asked import Asked, Setup, drifted
from services.warehouse.domain.bigquery.statements import (
    Read,
    enable_history,
    history_enabled,
    interval,
)
from services.warehouse.domain.bigquery.values import fingerprint
from services.warehouse.domain.feed import Shape
from services.warehouse.domain.model import Model
from services.warehouse.domain.source import WITHOUT_HISTORY, BigQuerySource
from services.warehouse.intervals import SECOND
from services.warehouse.patience import SourceAway
from services.warehouse.relations import by_relation, columns_of, key_missing, key_of

DAY = 86_400


@dataclass(frozen=True, slots=True)
class Table:
    """A table that can be followed."""

    relation: str
    found: Found
    read: Read
    wanted: tuple[str, ...]
    """Columns that the models use; those of `read` are there."""

    @property
    def created(self) -> int:
        """Microseconds since 1970."""
        return self.found.created * 1000

    @property
    def present(self) -> tuple[str, ...]:
        return self.read.columns

    def shape(self, source: str, epoch: int) -> Shape:
        used = {name.lower() for name in self.wanted}
        columns = self.found.columns
        return Shape(
            source=source,
            relation=self.relation,
            key=self.read.key,
            columns=self.read.columns,
            epoch=epoch,
            fingerprint=fingerprint(columns.values()),
            unmodelled=frozenset(c.name for name, c in columns.items() if name not in used),
        )


async def opened(session: Session, source: BigQuerySource, models: Sequence[Model]) -> Table:
    """The table of these models as it is now.

    Raises:
        Blocked: it cannot be followed.
        SourceAway: try again.
    """
    relation, key, wanted = models[0].origin, key_of(models), columns_of(models)
    if source.mode == "appends" and any(model.rows != "event" for model in models):
        raise Blocked(
            "appends_only_events",
            f"{relation}: the mode `appends` sees no update and no delete, so its models can only"
            " be of `rows: event`",
        )
    address = source.address(relation)
    found = await session.table(address, relation)
    if not found.is_table:
        raise Blocked("not_a_table", f"{relation} is a view or the like, which has no history")
    if lacking := [name for name in key if name.lower() not in found.columns]:
        raise key_missing(relation, lacking[0])
    there = tuple(name for name in wanted if name.lower() in found.columns)
    return Table(relation, found, Read(address, there, key), wanted)


async def check_history(session: Session, source: BigQuerySource, table: Table) -> None:
    """
    Raises:
        Blocked: the table does not keep what the mode reads.
        SourceAway: try again.
    """
    if source.mode != "changes":
        return
    async for answer in session.answers(history_enabled(table.read), table.relation):
        if answer.page.get("rows"):
            return
    raise history_disabled(table.relation)


def asked(source: BigQuerySource, models: Sequence[Model]) -> Iterator[Asked]:
    """Of the administrator, and of the owner of each table."""
    yield Asked(
        f"the role roles/bigquery.jobUser in the project {source.project}",
        "queries are run, and paid for, in this project",
    )
    if any(model.query is not None for model in models):
        yield Asked(
            "the role roles/bigquery.dataViewer on the tables and views of the models' queries",
            "they run with this account, and SELECT is all they are",
        )
    for relation in by_relation([model for model in models if model.relation is not None]):
        address = source.address(relation)
        if source.mode == "changes":
            yield Asked(
                enable_history(address),
                "BigQuery keeps what changed; it begins with the statement",
            )
        yield Asked(
            f"the role roles/bigquery.dataViewer on {'.'.join(address)}, and on its dataset",
            "rows and their history are read and nothing else; with row-level policies on the"
            " table, history also needs bigquery.rowAccessPolicies.overrideTimeTravelRestrictions",
        )


async def problems(source: BigQuerySource, models: Sequence[Model]) -> Sequence[Setup]:
    """All that is not as it must be, table by table, and what following each will cost."""
    try:
        session = Session(source)
    except UnresolvedSecret as error:
        return (Setup("unreachable", str(error), _REMEDIES["unreachable"]),)
    try:
        return [
            problem
            for own in by_relation(models).values()
            async for problem in _of(session, source, own)
        ]
    finally:
        session.close()


async def _of(
    session: Session, source: BigQuerySource, models: Sequence[Model]
) -> AsyncIterator[Setup]:
    try:
        table = await opened(session, source, models)
        await check_history(session, source, table)
        yield await _cost(session, source, table)
    except Blocked as blocked:
        yield Setup(blocked.reason, str(blocked), _REMEDIES[blocked.reason])
    except SourceAway as error:
        sentence = f"{models[0].origin} cannot be read: {error}"
        yield Setup("unreachable", sentence, _REMEDIES["unreachable"])
    else:
        for problem in drifted(table.relation, table.wanted, table.present):
            yield problem


async def _cost(session: Session, source: BigQuerySource, table: Table) -> Setup:
    """Of one look, after one was really made: policies on rows hide history and nothing else."""
    end = await session.now() - int(source.lag.total_seconds()) * SECOND
    begin = max(end - source.poll_seconds * SECOND, table.created)
    if begin >= end:
        sentence = f"{table.relation} is too young to have a history: it is read when it has one"
        return Setup("cost", sentence, "check once more then", fatal=False)
    statement = interval(table.read, source.history, begin, end)
    size = await session.bytes_of(statement, table.relation)
    async for _ in session.answers(statement, table.relation):
        pass
    sentence = (
        f"a look at {table.relation} reads {size} bytes, and a day of them"
        f" {size * DAY // source.poll_seconds}"
    )
    return Setup("cost", sentence, "raise poll_seconds if that is too much", fatal=False)


_REMEDIES: Mapping[str, str] = MappingProxyType(
    {
        "table_missing": "mend `tables` or `location` of the source, or let the account in",
        "not_a_table": f"model the tables behind it; {WITHOUT_HISTORY}",
        "appends_only_events": "take the mode `changes` or `time_travel`",
        "history_disabled": "ALTER TABLE … SET OPTIONS (enable_change_history = TRUE), or mode:"
        f" time_travel; {WITHOUT_HISTORY}",
        "history_expired": f"lengthen the time travel window of the dataset; {WITHOUT_HISTORY}",
        "partition_filter_required": "ALTER TABLE … SET OPTIONS (require_partition_filter = FALSE)",
        "bytes_limit": "raise `maximum_bytes_billed` of the source",
        "interval_too_large": "shorten `step_seconds` of the source",
        "billing_disabled": "link a billing account to the project",
        "query_refused": "compare the models with the table",
        "key_column_missing": "mend `key` of the models",
        "unreachable": "mend `credentials` or `api_endpoint` of the source, or let the account in",
    }
)
"""By the reasons that opening and reading a table can give."""
