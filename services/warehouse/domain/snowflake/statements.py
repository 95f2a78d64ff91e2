"""The SELECTs that read a table of Snowflake: as it was at an instant, and what changed in between.

Instants are microseconds since 1970 by Snowflake's clock, and stand in the text: AT and END take
constants only.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Literal

from services.warehouse.domain.snowflake.names import quoted
from services.warehouse.domain.snowflake.values import Column

Mode = Literal["changes", "time_travel"]
"""By the table's change tracking, or by comparing it with its past."""

ACTION, ROW = '"afflux_action"', '"afflux_row"'
"""What the relation behind FROM calls METADATA$ACTION and METADATA$ROW_ID."""
NOW = "SELECT DATE_PART(EPOCH_MICROSECOND, CURRENT_TIMESTAMP())"
SECOND = 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Read:
    """What is read of a table."""

    address: tuple[str, ...]
    """Database, schema and table, as the catalog has them."""
    columns: tuple[Column, ...]
    """Those of the key first, in its order."""
    key_columns: int
    mode: Mode

    @property
    def key(self) -> tuple[str, ...]:
        """As the models call it."""
        return tuple(column.name for column in self.columns[: self.key_columns])


def snapshot(read: Read, at: int) -> str:
    """All rows as they were, in an order that can be asked for again."""
    return f"SELECT {_asked(read)} FROM {_past(read, at)}{_in_order(read)}"  # noqa: S608


def answer(read: Read, query: str) -> str:
    """The rows of a snapshot that was asked for before; kept for a day, in no order of its own."""
    return f"SELECT * FROM TABLE(RESULT_SCAN({_text(query)})){_in_order(read)}"  # noqa: S608


def interval(read: Read, begin: int, end: int) -> str:
    """What happened behind `begin` and up to `end`, the rows of one key together.

    First the action, then the key that the same row has at the other end of the interval, null
    where it is not there; then the columns.
    """
    keys = [quoted(column.there) for column in read.columns[: read.key_columns]]
    others = [_OTHERS[read.mode](key) for key in keys]
    columns = [quoted(column.there) for column in read.columns]
    return (
        f"SELECT {', '.join((ACTION, *others, *columns))} FROM {relation(read, begin, end)}"  # noqa: S608
        f" ORDER BY {', '.join((*keys, ACTION))}"
    )


def relation(read: Read, begin: int, end: int) -> str:
    """What stands behind FROM: rows that went and rows that came, by action and row id."""
    return f"({_RELATIONS[read.mode](read, begin, end)})"


def probe(read: Read, at: int) -> str:
    """Fails where the history of the second before is not kept, and costs next to nothing."""
    return f"SELECT {ACTION} FROM {relation(read, at - SECOND, at)} LIMIT 1"  # noqa: S608


def describe(address: Sequence[str]) -> str:
    """Columns and their types, of a table or a view."""
    return f"DESCRIBE TABLE {_address(address)}"


def show(kind: Literal["TABLES", "VIEWS"], address: Sequence[str]) -> str:
    """What the catalog says of tables or views that may be this one, whatever their case."""
    *schema, name = address
    return f"SHOW {kind} LIKE {_text(name)} IN SCHEMA {_address(schema)}"


def enable_tracking(address: Sequence[str]) -> str:
    """What the table's owner is asked for; Afflux never runs it."""
    return f"ALTER TABLE {_address(address)} SET CHANGE_TRACKING = TRUE"


def granted(what: str, role: str) -> str:
    """What the administrator is asked for; Afflux never runs it."""
    return f"GRANT {what} TO ROLE {role}"


def _changes(read: Read, begin: int, end: int) -> str:
    return (
        f"SELECT {_asked(read)}, METADATA$ACTION AS {ACTION}, METADATA$ROW_ID AS {ROW}"  # noqa: S608
        f" FROM {_address(read.address)}"
        f" CHANGES(INFORMATION => DEFAULT) AT(TIMESTAMP => {_instant(begin)})"
        f" END(TIMESTAMP => {_instant(end)})"
    )


def _difference(read: Read, begin: int, end: int) -> str:
    """Rows that are only in one of the two pasts, column by column and null like null.

    Not joined on the key: keys that are null or not theirs alone say nothing as long as their
    rows stay as they are.
    """
    earlier, later = (f"SELECT {_asked(read)} FROM {_past(read, at)}" for at in (begin, end))  # noqa: S608
    columns = ", ".join(quoted(column.there) for column in read.columns)
    return (
        f"SELECT {columns}, 'DELETE' AS {ACTION} FROM ({earlier} MINUS {later})"  # noqa: S608
        f" UNION ALL SELECT {columns}, 'INSERT' AS {ACTION} FROM ({later} MINUS {earlier})"
    )


_RELATIONS: Mapping[Mode, Callable[[Read, int, int], str]] = MappingProxyType(
    {"changes": _changes, "time_travel": _difference}
)


def _of_the_same_row(key: str) -> str:
    """A row has at most two lines, and DELETE stands before INSERT."""
    over = f"OVER (PARTITION BY {ROW} ORDER BY {ACTION})"
    return f"COALESCE(LAG({key}) {over}, LEAD({key}) {over})"


_OTHERS: Mapping[Mode, Callable[[str], str]] = MappingProxyType(
    {"changes": _of_the_same_row, "time_travel": lambda key: "NULL"}
)


def _in_order(read: Read) -> str:
    """Rows that no column tells apart may take each other's place."""
    return f" ORDER BY {', '.join(str(n) for n in range(1, len(read.columns) + 1))}"


def _past(read: Read, at: int) -> str:
    return f"{_address(read.address)} AT(TIMESTAMP => {_instant(at)})"


def _asked(read: Read) -> str:
    return ", ".join(column.asked for column in read.columns)


def _instant(at: int) -> str:
    moment = _EPOCH + timedelta(microseconds=at)
    return f"'{moment.strftime('%Y-%m-%d %H:%M:%S.%f')} +0000'::TIMESTAMP_TZ"


def _address(parts: Sequence[str]) -> str:
    return ".".join(map(quoted, parts))


def _text(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
