"""The setup check of a database that is asked by SELECTs: its models are described, not run."""

from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from services.runtime.secrets import resolve
from services.warehouse.domain.asked import Asked, Setup
from services.warehouse.domain.model import Model
from services.warehouse.domain.source import SqlSource
from services.warehouse.domain.sql.layout import Unfit, layout
from services.warehouse.domain.sql.query import NotOneSelect, subquery
from services.warehouse.postgres.sql import quoted
from services.warehouse.sql.connector import engine_of
from services.warehouse.sql.engine import Engine, Refused


def asked(source: SqlSource) -> Iterator[Asked]:
    """Of the administrator."""
    if source.engine == "duckdb":
        yield Asked(f"read access to the file {source.path}", "it is opened to be read only")
        return
    role = quoted(urlsplit(resolve(source.dsn or "").get_secret_value()).username or "afflux")
    yield Asked(f"create role {role} login password '…'", "a role of its own can be taken back")
    yield Asked(
        f"grant select on the tables and views of the models' queries to {role}",
        "the queries run with this role, in read-only transactions; it needs nothing else",
    )


async def problems(source: SqlSource, models: Sequence[Model]) -> Sequence[Setup]:
    """All of them at once."""
    engine = engine_of(source)
    try:
        return [problem for model in models for problem in await _of(model, engine, source)]
    except engine.away as error:
        sentence = f"the database cannot be reached ({type(error).__name__})"
        return (Setup("unreachable", sentence, "mend the address, or let the role in"),)


async def _of(model: Model, engine: Engine, source: SqlSource) -> Sequence[Setup]:
    try:
        query = subquery(model.query or "", source.engine)
        async with engine.session(source.run_timeout_s) as session:
            described = await session.describe(query)
            layout(described, model, query, engine.dialect)
    except NotOneSelect as error:
        return (Setup("query_refused", f"the query of {model.id} {error}", "mend the query"),)
    except Unfit as unfit:
        return (Setup(unfit.reason, str(unfit), "mend the model or its query"),)
    except Refused as refused:
        sentence = f"the database refuses the query of {model.id} ({refused.code})"
        return (Setup("query_refused", sentence, "mend it, or grant what it reads"),)
    missing = sorted(model.used - {name for name, _ in described})
    return [
        Setup(
            "schema_drift",
            f"the query of {model.id} has no column {name}",
            "mend the model or its query",
            fatal=False,
        )
        for name in missing
    ]
