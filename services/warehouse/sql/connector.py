"""Runs the models of one source by their schedule, one at a time."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial

import structlog

from services.runtime.stage import Blocked
from services.warehouse import metrics
from services.warehouse.connecting import Tools
from services.warehouse.domain.model import Model
from services.warehouse.domain.source import AskedSource, BigQuerySource, SnowflakeSource
from services.warehouse.domain.sql.buckets import Mode
from services.warehouse.domain.sql.layout import Unfit, instant, layout, mapping_of
from services.warehouse.domain.sql.query import NotOneSelect, subquery
from services.warehouse.domain.sql.statements import Column
from services.warehouse.extras import extra
from services.warehouse.patience import SourceAway
from services.warehouse.postgres.trouble import Trouble
from services.warehouse.sql.compare import Comparison
from services.warehouse.sql.duckdb import DuckdbEngine
from services.warehouse.sql.engine import Engine, Refused, Session
from services.warehouse.sql.follow import Following
from services.warehouse.sql.postgres import PostgresEngine
from services.warehouse.sql.progress import Progress, Progresses, Work, due, fresh
from services.warehouse.sql.run import Run
from services.warehouse.sql.state import RowState
from services.warehouse.sql.telling import Teller
from services.warehouse.standing import State

log = structlog.get_logger()


def engine_of(source: AskedSource) -> Engine:
    """The database of this source.

    Raises:
        Blocked: the library that it needs is not installed.
    """
    match source:
        case SnowflakeSource():
            with extra("snowflake"):
                from services.warehouse.snowflake.engine import SnowflakeEngine  # noqa: PLC0415
            return SnowflakeEngine(source)
        case BigQuerySource():
            with extra("bigquery"):
                from services.warehouse.bigquery.engine import BigQueryEngine  # noqa: PLC0415
            return BigQueryEngine(source)
        case _ if source.engine == "duckdb":
            return DuckdbEngine(source.path or "")
        case _:
            return PostgresEngine(source.dsn or "")


class SqlConnector:
    """A `Connector`: runs never overlap, and one that is cut short is repeated."""

    def __init__(self, source: AskedSource, models: Sequence[Model], tools: Tools) -> None:
        self._source = source
        self._models = models
        self._tools = tools
        self._engine = engine_of(source)
        self._progresses = Progresses(tools.checkpoints)

    async def run(self) -> None:
        """By the schedule; a database that is away is tried again, with patience."""
        await self._tools.checkpoints.begin("asked")
        self._check_origins()
        trouble = Trouble()
        progress = {model.id: await self._begin(model) for model in self._models}
        while True:
            if not self._models:
                await asyncio.sleep(3600)
                continue
            model = min(self._models, key=lambda model: due(model, progress[model.id])[0])
            at, work = due(model, progress[model.id])
            await self._wait(at)
            try:
                await self._run(model, progress[model.id], work)
                trouble.over()
            except self._engine.away as error:
                wait = trouble.met(error)
                reason = str(error) if isinstance(error, SourceAway) else trouble.reason
                self._stand("waiting", reason)
                log.warning("a run was cut short", model=model.id, reason=reason)
                await asyncio.sleep(wait)

    def _check_origins(self) -> None:
        """
        Raises:
            Blocked: rows of one table would be told twice, with other columns.
        """
        names = Counter(model.origin for model in self._models)
        if twice := [name for name, count in names.items() if count > 1]:
            raise Blocked("relation_twice", f"{twice[0]} is read by two models: write queries")

    async def _begin(self, model: Model) -> Progress:
        """
        Raises:
            Blocked: the model changed, and nobody said what that means for rows that were told.
        """
        known = await self._progresses.load(model)
        changed = known is not None and known.mapping != mapping_of(model)
        again = known is None or known.generation != self._source.generation
        if known is None or again or (changed and not known.complete):
            known = fresh(model, self._source.generation, known)
            await self._state(model).forget()
            await self._progresses.save(model, known)
        elif changed and model.on_change is None:
            raise Blocked(
                "model_changed",
                f"the query or mapping of model {model.id} changed: set `on_change: silent` to take"
                " the rows as they are now for told, or `on_change: resend` to tell all again",
            )
        return known

    async def _wait(self, at: int) -> None:
        seconds = at / 1000 - time.time()
        if seconds > 0:
            self._stand("waiting", None)
            await asyncio.sleep(seconds)

    async def _run(self, model: Model, progress: Progress, work: Work) -> None:
        self._stand("streaming" if progress.complete else "snapshotting", None)
        began = time.monotonic()
        try:
            async with (
                asyncio.timeout(self._source.run_timeout_s),
                self._engine.session(self._source.run_timeout_s, model.origin) as session,
            ):
                await self._asked(model, progress, work, session)
        except (Unfit, NotOneSelect) as error:
            raise Blocked(getattr(error, "reason", "query_refused"), str(error)) from None
        except Refused as refused:
            raise Blocked(
                "query_refused",
                f"the database refuses the query of model {model.id} ({refused.code}): mend it"
                " there, or grant what it reads",
            ) from None
        progress.ran_at = time.time_ns() // 1_000_000
        if work == "compare":
            progress.compared_at, progress.complete = progress.ran_at, True
            progress.mapping = mapping_of(model)
        await self._progresses.save(model, progress)
        self._tools.standing.heard_at = progress.told_at / 1000
        metrics.HEARD_SECONDS.set(self._tools.standing.heard_at)
        log.info("run ended", model=model.id, work=work, seconds=round(time.monotonic() - began, 1))

    async def _asked(self, model: Model, progress: Progress, work: Work, session: Session) -> None:
        query = subquery(self._engine.query(model), self._engine.dialect.name)
        found = layout(await session.describe(query), model, query, self._engine.dialect)
        progress.run += 1
        progress.told_at = max(progress.told_at, await session.clock())
        await self._progresses.save(model, progress)
        mode = _mode(model, progress)
        run = Run(
            model=model,
            progress=progress,
            layout=found,
            session=session,
            state=self._state(model),
            teller=Teller(model, found, progress, self._tools.writer, again=mode == "everything"),
            digests=self._tools.digests,
        )
        if work == "follow" and found.stamp is not None:
            following = Following(run, partial(self._progresses.save, model, progress))
            await following.run(found.stamp, model.overlap)
        else:
            await self._compare(run, mode)

    async def _compare(self, run: Run, mode: Mode) -> None:
        progress = run.progress
        comparison = Comparison(run, mode=mode, max_delete_share=self._source.max_delete_share)
        await comparison.run(whole=not progress.complete or mode == "everything")
        if run.layout.stamp is not None:
            progress.last = await _newest(run, run.layout.stamp)
        if not progress.complete:
            run.teller.end()
            await run.teller.acknowledged()

    def _state(self, model: Model) -> RowState:
        return RowState(self._tools.database, self._source.id, model.id)

    def _stand(self, state: State, reason: str | None) -> None:
        self._tools.standing.state, self._tools.standing.reason = state, reason


def _mode(model: Model, progress: Progress) -> Mode:
    if not progress.complete or progress.mapping == mapping_of(model):
        return "changes"
    return "everything" if model.on_change == "resend" else "silent"


async def _newest(run: Run, stamp: Column) -> str | None:
    """What is stamped so late was compared; never behind the server's clock."""
    ((newest,),) = await run.session.fetch(run.layout.statements.newest(stamp))
    now = instant(await run.session.clock(), stamp)
    stamps = [text for text in (newest, run.progress.last) if text is not None]
    return min(now, max(stamps)) if stamps else None
