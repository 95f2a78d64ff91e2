"""The setup check of a database that is asked by SELECTs: its models are described, not run."""

from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from services.runtime.secrets import UnresolvedSecret, resolve
from services.runtime.stage import Blocked
from services.warehouse.domain.asked import Asked, Setup
from services.warehouse.domain.model import Model
from services.warehouse.domain.source import AskedSource, SqlSource
from services.warehouse.domain.sql.layout import Unfit, layout
from services.warehouse.domain.sql.query import NotOneSelect, subquery
from services.warehouse.patience import SourceAway
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


async def problems(source: AskedSource, models: Sequence[Model]) -> Sequence[Setup]:
    """All of them at once, and what running each costs where that is known."""
    engine = engine_of(source)
    try:
        return [problem for model in models for problem in await _of(model, engine, source)]
    except engine.away as error:
        why = str(error) if isinstance(error, SourceAway) else type(error).__name__
        sentence = f"the database cannot be reached ({why})"
        return (Setup("unreachable", sentence, "mend the address, or let the role in"),)
    except UnresolvedSecret as error:
        return (Setup("unreachable", str(error), "mend the secret of the source"),)


async def _of(model: Model, engine: Engine, source: AskedSource) -> Sequence[Setup]:
    try:
        query = subquery(engine.query(model), engine.dialect.name)
        async with engine.session(source.run_timeout_s, model.origin) as session:
            found = layout(await session.describe(query), model, query, engine.dialect)
            size = await session.bytes_of(found.statements.checksums())
    except NotOneSelect as error:
        return (Setup("query_refused", f"the query of {model.id} {error}", "mend the query"),)
    except Unfit as unfit:
        return (Setup(unfit.reason, str(unfit), "mend the model or its query"),)
    except Blocked as blocked:
        return (Setup(blocked.reason, str(blocked), "mend the model, or grant what it reads"),)
    except Refused as refused:
        sentence = f"the database refuses the query of {model.id} ({refused.code})"
        return (Setup("query_refused", sentence, "mend it, or grant what it reads"),)
    cost = [] if size is None else [_cost(model, size)]
    missing = sorted(model.used - {column.name for column in found.statements.columns})
    return [
        *cost,
        *(
            Setup(
                "schema_drift",
                f"the query of {model.id} has no column {name}",
                "mend the model or its query",
                fatal=False,
            )
            for name in missing
        ),
    ]


def _cost(model: Model, size: int) -> Setup:
    a_day = size * 86_400_000 // model.every
    sentence = f"a comparison of {model.id} reads {size} bytes or more, and a day of them {a_day}"
    return Setup("cost", sentence, "raise `every` of the model if that is too much", fatal=False)
