"""What is asked of the administrator of a customer's system, and what was found there."""

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Asked:
    """Something to set or to run, by them."""

    statement: str
    reason: str


@dataclass(frozen=True, slots=True)
class Setup:
    """One thing that is not as it must be."""

    reason: str
    """A code from a closed set."""
    sentence: str
    remedy: str
    """Most often a statement for the administrator; Afflux itself never runs it."""
    fatal: bool = True
    """Whether nothing can be read before it is mended."""


def drifted(relation: str, wanted: Iterable[str], there: Container[str]) -> Iterator[Setup]:
    """Columns that the models of a table use and that it does not have."""
    for name in wanted:
        if name not in there:
            yield Setup(
                "schema_drift",
                f"{relation} has no column {name}",
                "mend the models: what is mapped from it stays as it is",
                fatal=False,
            )


DEBEZIUM = (
    Asked("decimal.handling.mode=string", "numbers stay exact without a scale in every model"),
    Asked(
        "key.converter.replace.null.with.default=false",
        "else a null in a column with a default arrives as that default",
    ),
    Asked("value.converter.replace.null.with.default=false", "the same for the row itself"),
    Asked("heartbeat.interval.ms=10000", "an idle database and a dead connector look different"),
    Asked("one topic a table, keyed by row", "the changes of a row stay in order"),
)
"""Of whoever runs the connector."""
