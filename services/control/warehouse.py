"""What holds between a model and its source: how rows are asked for, whose a deleted one was."""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from pydantic import ValidationError

from services.control.documents import Document, Fault
from services.warehouse.domain.model import ROW, Model
from services.warehouse.domain.source import SOURCES
from services.warehouse.domain.sql.query import NotOneSelect, subquery


def unfit_models(documents: Sequence[Document]) -> Iterator[Fault]:
    """Models whose source cannot tell what they need; those that are wrong alone are left out."""
    sources = {d.id: d for d in documents if d.kind == "source"}
    for document in documents:
        if document.kind == "model" and (model := _model(document)) is not None:
            source = sources.get(model.source)
            if source is not None:
                yield from _unfit(document, model, source)


def _unfit(document: Document, model: Model, source: Document) -> Iterator[Fault]:
    if source.body.get("type") not in SOURCES:
        yield document.fault("source", f"`{source.id}` is a tracker, not a warehouse source")
    elif source.body["type"] == "sql":
        yield from _unfit_query(document, model, source)
    elif model.query is not None:
        yield document.fault("query", f"`{source.id}` has tables: name the `relation` instead")
    elif source.body["type"] in _KEYLESS:
        if not model.key:
            sentence = f"{_KEYLESS[source.body['type']]} has no key of its own: name its columns"
            yield document.fault("key", sentence)
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


_KEYLESS: Mapping[str, str] = MappingProxyType(
    {
        "delta": "a Delta table",
        "databricks": "a table at Databricks",
        "bigquery": "a table of BigQuery",
        "snowflake": "a table of Snowflake",
    }
)


def _unfit_query(document: Document, model: Model, source: Document) -> Iterator[Fault]:
    if model.query is None:
        yield document.fault("relation", f"`{source.id}` is asked by SQL: write a `query` instead")
        return
    try:
        subquery(model.query, str(source.body.get("engine", "postgres")))
    except NotOneSelect as error:
        yield document.fault("query", str(error))
    if not _is_known_by_digest(model):
        yield document.fault(
            "identifiers",
            "of a row that is gone only the digest is known: "
            + ("add an identifier `$row`, or " if model.rows == "profile" else "")
            + "set `on_delete: ignore` or `deletes: ignore`",
        )


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
