"""What holds between a model and its source: deletes must say whose the row was."""

from collections.abc import Iterator, Sequence

from pydantic import ValidationError

from services.control.documents import Document, Fault
from services.warehouse.domain.model import ROW, Model
from services.warehouse.domain.source import SOURCES


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
    elif source.body.get("replica_identity") != "full" and not _says_whose(model):
        yield document.fault(
            "identifiers",
            "a deleted row must say whose it was: use a column of `key`, or set"
            " `replica_identity: full` in the source and the database"
            + (", or add an identifier `$row`" if model.rows == "profile" else ""),
        )


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
