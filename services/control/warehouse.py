"""What holds between a model and its source: how rows are asked for, whose a deleted one was."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, get_args

from pydantic import ValidationError

from services.control.documents import Document, Fault
from services.warehouse.domain.model import OF_SCHEDULES, ROW, Model
from services.warehouse.domain.source import SOURCES, AskedMode
from services.warehouse.domain.sql.query import NotOneSelect, subquery


def unfit_models(documents: Sequence[Document]) -> Iterator[Fault]:
    """Models whose source cannot tell what they need; those that are wrong alone are left out."""
    sources = {d.id: d for d in documents if d.kind == "source"}
    models = [(d, model) for d in documents if d.kind == "model" and (model := _model(d))]
    read = Counter((model.source, model.relation) for _, model in models)
    for document, model in models:
        source = sources.get(model.source)
        if source is not None:
            yield from _unfit(document, model, source)
            if _dialect(source.body) and model.relation and read[model.source, model.relation] > 1:
                sentence = "another model reads it, and each is asked by itself: write queries"
                yield document.fault("relation", sentence)


def _unfit(document: Document, model: Model, source: Document) -> Iterator[Fault]:
    type_ = source.body.get("type")
    if type_ not in SOURCES:
        yield document.fault("source", f"`{source.id}` is a tracker, not a warehouse source")
    elif dialect := _dialect(source.body):
        yield from _unfit_asked(document, model, source, dialect)
    elif model.query is not None:
        yield document.fault("query", f"`{source.id}` has tables: name the `relation` instead")
    elif scheduled := sorted(OF_SCHEDULES & model.model_fields_set):
        yield document.fault(scheduled[0], f"`{source.id}` is not asked by SQL: leave it out")
    elif type_ in _KEYLESS:
        yield from _without_key(document, model, str(type_))
        if source.body.get("mode") == "appends" and model.rows != "event":
            yield document.fault(
                "rows",
                "the source's mode `appends` sees no update and no delete: only `event` fits",
            )
    elif source.body.get("replica_identity") != "full" and not _says_whose(model):
        yield document.fault(
            "identifiers",
            "a deleted row must say whose it was: use a column of `key`, or set"
            " `replica_identity: full` in the source and the database"
            + (", or add an identifier `$row`" if model.rows == "profile" else ""),
        )


def _dialect(source: Mapping[str, Any]) -> str | None:
    """Of a source that is asked by SQL."""
    if source.get("type") == "sql":
        return str(source.get("engine", "postgres"))
    return str(source.get("type")) if source.get("mode") in get_args(AskedMode) else None


def _without_key(document: Document, model: Model, type_: str) -> Iterator[Fault]:
    if not model.key:
        sentence = f"{_KEYLESS[type_]} has no key of its own: name its columns"
        yield document.fault("key", sentence)


_KEYLESS: Mapping[str, str] = MappingProxyType(
    {
        "delta": "a Delta table",
        "databricks": "a table at Databricks",
        "bigquery": "a table of BigQuery",
        "snowflake": "a table of Snowflake",
    }
)


def _unfit_asked(
    document: Document, model: Model, source: Document, dialect: str
) -> Iterator[Fault]:
    if model.query is None and dialect not in _KEYLESS:
        yield document.fault("relation", f"`{source.id}` is asked by SQL: write a `query` instead")
        return
    if model.query is None:
        yield from _without_key(document, model, dialect)
    else:
        yield from _wrong_query(document, model.query, dialect)
    mode = source.body.get("mode")
    if mode == "watermark" and model.updated_at is None:
        yield document.fault("updated_at", "the source's mode `watermark` reads by it: name it")
    if mode == "diff" and model.updated_at is not None:
        yield document.fault("updated_at", "the source's mode `diff` needs none: leave it out")
    if not _is_known_by_digest(model):
        yield document.fault(
            "identifiers",
            "of a row that is gone only the digest is known: "
            + ("add an identifier `$row`, or " if model.rows == "profile" else "")
            + "set `on_delete: ignore` or `deletes: ignore`",
        )


def _wrong_query(document: Document, query: str, dialect: str) -> Iterator[Fault]:
    try:
        subquery(query, dialect)
    except NotOneSelect as error:
        yield document.fault("query", str(error))


def _is_known_by_digest(model: Model) -> bool:
    """Whether a row's digest alone says whose it was, or nobody asks."""
    if model.rows == "event" or "ignore" in (model.deletes, model.on_delete):
        return True
    return model.rows == "profile" and ROW in model.identifiers.values()


def _says_whose(model: Model) -> bool:
    """Whether the key alone identifies the person of a row that goes."""
    columns = set(model.identifiers.values())
    if model.rows == "event" or (model.rows == "profile" and model.on_delete == "ignore"):
        return True
    if model.rows == "relation":
        return columns <= set(model.key)
    return ROW in columns or bool(columns & set(model.key))


def _model(document: Document) -> Model | None:
    try:
        return Model.model_validate(document.body)
    except ValidationError:
        return None
