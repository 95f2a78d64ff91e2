"""The models of a source by their table, and what they want of it together."""

from collections.abc import Mapping, Sequence

from services.runtime.stage import Blocked
from services.warehouse.domain.model import Model


def by_relation(models: Sequence[Model]) -> Mapping[str, Sequence[Model]]:
    """The models of each table."""
    found: dict[str, list[Model]] = {}
    for model in models:
        found.setdefault(model.origin, []).append(model)
    return found


def columns_of(models: Sequence[Model]) -> tuple[str, ...]:
    """What the models of one table use, the key among it."""
    used = frozenset[str]().union(*(model.used for model in models))
    return tuple(sorted(used | set(key_of(models))))


def key_missing(relation: str, column: str | None) -> Blocked:
    """A model's key is not whole in its table."""
    return Blocked(
        "key_column_missing", f"{relation} has no column {column}, which its model names in the key"
    )


def key_of(models: Sequence[Model]) -> tuple[str, ...]:
    """
    Raises:
        Blocked: the models of one table do not agree.
    """
    keys = {model.key for model in models}
    if len(keys) > 1 or not all(keys):
        raise Blocked(
            "key_column_missing",
            f"{models[0].origin} has no key that we could ask for: every model of it must name the"
            " same columns as its `key`",
        )
    return keys.pop()
