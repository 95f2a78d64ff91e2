"""The workspace kind `model`: what the rows of one table mean."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_validator,
)

from schemas.predicates.durations import duration
from services.warehouse.domain.debezium import Table
from services.warehouse.domain.types import declared

ROW = "$row"
"""Instead of a column: the row's own keyed digest identifies the person."""

Name = Annotated[str, Field(min_length=1, max_length=255)]
IdentifierType = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_.]*$", max_length=64)]


def _a_type(text: str) -> str:
    declared(text)
    return text


def _milliseconds(given: Any) -> int:
    found = duration(given) if not isinstance(given, int) else given
    if isinstance(found, str):
        raise ValueError(found)
    return found


Duration = Annotated[
    int,
    BeforeValidator(_milliseconds),
    WithJsonSchema({"type": "string", "pattern": "^[0-9]{1,18}(ms|[smhdw])$"}),
]
"""Written `15m`; milliseconds."""


class Model(BaseModel):
    """Rows of a table as profiles, events or relations of people."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)

    kind: Literal["model"] = "model"
    id: Annotated[str, Field(min_length=1)]
    name: str = ""
    description: str = ""
    source: Annotated[str, Field(min_length=1)]
    relation: Annotated[str, Field(pattern=r"^[^.]+\.[^.]+$")] | None = None
    """`schema.table`; of a database without schemas `database.table`. Left out with `query`."""
    query: Annotated[str, Field(min_length=1)] | None = None
    """Of a source that is asked by SQL: one SELECT, whose rows these are."""
    updated_at: Name | None = None
    """The column that says when a row last changed: between comparisons of everything,
    only rows from behind the last one's instant are read."""
    every: Duration = 15 * 60_000
    """How often it is asked."""
    diff_every: Duration = 86_400_000
    """With `updated_at`: how often everything is compared, for what `updated_at` does not show."""
    overlap: Duration = 5 * 60_000
    """How far behind the last instant reading begins: a transaction that commits late bears an
    earlier one."""
    deletes: Literal["diff", "ignore"] = "diff"
    """Whether a row that is not in the result any more is a delete."""
    on_change: Literal["silent", "resend"] | None = None
    """When query or mapping changed: `silent` takes the rows as they are now for told, `resend`
    tells all of them again. Without it the source waits for the choice."""
    rows: Literal["profile", "event", "relation"]
    """What a row is: a person, something that happened, or something that belongs to a person."""
    key: tuple[Name, ...] = ()
    """The columns that tell rows apart; needed only where Debezium's messages have no key."""
    identifiers: Annotated[Mapping[IdentifierType, Name], Field(min_length=1)]
    """Type of identifier → column. `$row` instead of a column stands for the row itself."""
    columns: Mapping[Name, Name] = {}
    """Column → trait, property or column of the relation."""
    types: Mapping[Name, Annotated[str, AfterValidator(_a_type)]] = {}
    """Column → type, for messages without a schema."""
    event: Name | None = None
    """Name of the event, for `rows: event`; the model's id where it is left out."""
    related: Name | None = None
    """Name of the relation as `related:` asks for it; the model's id where it is left out."""
    time: Name | None = None
    """The column that says when an event happened; without it the commit says so."""
    on_delete: Literal["clear_traits", "ignore", "event"] = "clear_traits"
    """Of a profile's row. `event` is a track named after the model and ` deleted`."""
    on_null: Literal["clear", "ignore"] = "clear"
    """Whether null clears a trait or says nothing."""
    on_update: Literal["ignore", "event"] = "ignore"
    """Of an event's row: whether a change of it is another event."""

    @model_validator(mode="after")
    def _fits_its_rows(self) -> Self:
        for field, rows in _ONLY_OF.items():
            if field in self.model_fields_set and self.rows not in rows:
                raise ValueError(f"`{field}` is for rows: {' and '.join(rows)}, not {self.rows}")
        self._check_relation()
        if self.rows == "profile" and not self.columns and not len(self.identifiers) > 1:
            raise ValueError("a profile's row must map columns, or more than one identifier")
        if self.rows == "relation" and self.on_delete == "event":
            raise ValueError("`on_delete: event` is for rows: profile, not relation")
        if self.rows == "relation" and ROW in self.identifiers.values():
            raise ValueError("`$row` cannot tell whose a related row is")
        unknown = [column for column in self.types if column not in {*self._named(), *self.key}]
        if unknown:
            raise ValueError(f"types: the model does not use the column `{unknown[0]}`")
        return self

    def _check_relation(self) -> None:
        if (self.relation is None) == (self.query is None):
            raise ValueError(
                "a model has a `relation`, or a `query` where its source is asked by SQL"
            )
        for field in sorted(_OF_STAMPS & self.model_fields_set):
            if self.updated_at is None:
                raise ValueError(f"`{field}` is for models with `updated_at`")
        if self.query is not None and not self.key:
            raise ValueError("a model with a `query` needs the columns of its `key`")

    def _named(self) -> Iterator[str]:
        yield from self.columns
        yield from (column for column in self.identifiers.values() if column != ROW)
        if self.time is not None:
            yield self.time

    @property
    def used(self) -> frozenset[str]:
        """The columns that are read."""
        return frozenset(self._named())

    @property
    def origin(self) -> str:
        """What changes of its rows call their relation."""
        return self.relation or self.id

    @property
    def event_name(self) -> str:
        return self.event or self.id

    @property
    def relation_name(self) -> str:
        return self.related or self.id

    def table(self) -> Table:
        """What the decoder is to read."""
        types = {column: declared(text) for column, text in self.types.items()}
        return Table(key=self.key, columns=self.used, types=types)


_ONLY_OF: Mapping[str, tuple[str, ...]] = {
    "event": ("event",),
    "time": ("event",),
    "on_update": ("event",),
    "related": ("relation",),
    "on_delete": ("profile", "relation"),
    "on_null": ("profile",),
}

_OF_STAMPS = frozenset({"diff_every", "overlap"})
OF_SCHEDULES = _OF_STAMPS | {"updated_at", "every", "deletes", "on_change"}
"""Of models that are asked by SELECTs."""
