"""What a dialect of SQL must say, so that a value of each type is told as its canonical text."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reading:
    """How values of one type are told; in each template `{0}` stands for the value."""

    letter: str
    """Of the canonical text."""
    text: str
    """The canonical text, except that text itself is not normalized; null where there is none."""
    bound: str = "cast({0} as {1})"
    """From the text back to what is compared; `{1}` is the value's type."""
    compared: str = "{0}"
    """What rows are sorted, paged and found by."""
    is_made_here: bool = False
    """The database has no canonical text of it: `text` is any exact one, and whoever reads the row
    makes its hash."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """One engine's SQL."""

    name: str
    """As sqlglot calls it."""
    readings: Mapping[str, Reading]
    """By type; every other type is told as text by `other`, if at all."""
    other: Reading | None
    base_type: Callable[[str], str]
    """From a type as the engine names it to its name in `readings`."""
    meant: Callable[[str, Collection[str]], str | None]
    """Which of the columns that are there a model means by a name."""
    normal: str
    """The text in NFC, as `domain/json_input.clean` leaves it."""
    size: str
    """The length of a text in bytes."""
    hashed: str
    """SHA-256 of a text, in hex."""
    number: str
    """An integer that stands for a row; `{0}` is its canonical text, `{1}` are its columns' texts.
    Only compared with itself."""
    total: str
    """The sum of the numbers `c`, as a text."""
    bound: str
    """A text that is bound; `{0}` is its number."""
    unnested: Callable[[int], tuple[Sequence[str], str]]
    """Of so many bound lists of texts the expressions that make rows of them, and their FROM."""
    slice_rows: int
    """So many rows can be sorted at once."""
    page_rows: int
    """Rows of a page in the order of their stamps."""
    plain: str | None = None
    """Of a text that it is its own NFC; None where `normal` can be had of every text."""
    has_row_order: bool = True
    """Whether `(a, b) > (x, y)` can be asked."""
    is_nested: Callable[[str], bool] = lambda type_: False
    """Whether values of a type have parts, so that they have no one text in every engine."""

    def reading(self, type_: str) -> Reading | None:
        """None where the type has none."""
        if self.is_nested(type_):
            return None
        return self.readings.get(self.base_type(type_), self.other)


FIRST, LAST = "0001-01-01", "9999-12-31"
BOOLEAN = Reading("b", "case when {0} then 'true' when not {0} then 'false' end")


def day(text: str) -> str:
    """Days that do not exist here are null."""
    return f"case when {{0}} between '{FIRST}' and '{LAST}' then {text} end"


def instant(text: str, value: str = "{0}") -> str:
    """The same of instants."""
    return (
        f"case when {value} >= '{FIRST} 00:00:00' and {value} <= '{LAST} 23:59:59.999999'"
        f" then {text} end"
    )


def time(text: str) -> str:
    """With six digits behind the point, or no point."""
    return (
        f"case when {{0}} < '24:00:00' then case when strpos({text}, '.') > 0"
        f" then rpad({text}, 15, '0') else {text} end end"
    )


def exactly(name: str, there: Collection[str]) -> str | None:
    """A name as it is written."""
    return name if name in there else None


def side_by_side(count: int) -> tuple[Sequence[str], str]:
    """Lists that are unnested in one SELECT go in step."""
    return [f"unnest(${number}::varchar[])" for number in range(1, count + 1)], ""
