"""The SELECTs that read a table of BigQuery: as it was at an instant, and what changed in between.

Instants are microseconds since 1970 and stand in the text: history functions take constants.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Literal

Mode = Literal["changes", "appends", "time_travel"]
"""By the change history of the table, by its appended rows, or by comparing it with its past."""

KIND, AT = "afflux_kind", "afflux_at"
"""The first two columns of an interval: what happened to the row, and when."""
_ROW = "afflux_row"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_OPTION = "enable_change_history"


@dataclass(frozen=True, slots=True)
class Read:
    """What is read of a table."""

    address: tuple[str, ...]
    """Project, dataset and table."""
    columns: tuple[str, ...]
    key: tuple[str, ...]


def snapshot(read: Read, at: int) -> str:
    """All rows as they were."""
    return f"SELECT {_list(read.columns)} FROM {_table(read)} {_as_of(at)}"  # noqa: S608


def interval(read: Read, mode: Mode, begin: int, end: int) -> str:
    """What changed from `begin` on and before `end`, the rows of one instant and key together."""
    order = ", ".join((AT, *map(quoted, read.key)))
    return f"SELECT * FROM {relation(read, mode, begin, end)} ORDER BY {order}"  # noqa: S608


def relation(read: Read, mode: Mode, begin: int, end: int) -> str:
    """What stands behind FROM; alone here, for these are what only BigQuery itself knows."""
    return f"({_RELATIONS[mode](read, begin, end)})"


def history_enabled(read: Read) -> str:
    """One row where the table keeps its change history."""
    project, dataset, table = read.address
    options = ".".join((quoted(project), quoted(dataset), "INFORMATION_SCHEMA.TABLE_OPTIONS"))
    return (
        f"SELECT option_value FROM {options} WHERE table_name = {_text(table)}"  # noqa: S608
        f" AND option_name = '{_OPTION}' AND LOWER(option_value) = 'true'"
    )


def enable_history(address: Sequence[str]) -> str:
    """What the table's owner is asked for; Afflux never runs it."""
    return f"ALTER TABLE {_address(address)} SET OPTIONS ({_OPTION} = TRUE)"


NOW = "SELECT UNIX_MICROS(CURRENT_TIMESTAMP())"


def _changes(read: Read, begin: int, end: int) -> str:
    return _history(read, f"CHANGES(TABLE {_table(read)}, {_instant(begin)}, {_instant(end)})")


def _appends(read: Read, begin: int, end: int) -> str:
    return _history(read, f"APPENDS(TABLE {_table(read)}, {_instant(begin)}, {_instant(end)})")


def _history(read: Read, function: str) -> str:
    return (
        f"SELECT _CHANGE_TYPE AS {KIND}, UNIX_MICROS(_CHANGE_TIMESTAMP) AS {AT},"  # noqa: S608
        f" {_list(read.columns)} FROM {function}"
    )


def _difference(read: Read, begin: int, end: int) -> str:
    """Rows that are only in one of the two pasts; whoever pairs them by key sees what changed.

    Joined on the whole row and not on the key: a key that is null or not alone says nothing as
    long as its rows stay as they are.
    """
    is_gone = f"later.{_ROW} IS NULL"
    columns = ", ".join(
        f"IF({is_gone}, earlier.{name}, later.{name}) AS {name}"
        for name in map(quoted, read.columns)
    )
    return (
        f"SELECT IF({is_gone}, 'DELETE', 'INSERT') AS {KIND}, {end} AS {AT}, {columns}"  # noqa: S608
        f" FROM {_past(read, begin)} AS earlier FULL OUTER JOIN {_past(read, end)} AS later"
        f" ON earlier.{_ROW} = later.{_ROW} WHERE earlier.{_ROW} IS NULL OR {is_gone}"
    )


def _past(read: Read, at: int) -> str:
    columns = _list(read.columns)
    return (
        f"(SELECT {columns}, SHA256(TO_JSON_STRING(STRUCT({columns}))) AS {_ROW}"  # noqa: S608
        f" FROM {_table(read)} {_as_of(at)})"
    )


_RELATIONS: Mapping[Mode, Callable[[Read, int, int], str]] = MappingProxyType(
    {"changes": _changes, "appends": _appends, "time_travel": _difference}
)


def _as_of(at: int) -> str:
    return f"FOR SYSTEM_TIME AS OF {_instant(at)}"


def _instant(at: int) -> str:
    moment = _EPOCH + timedelta(microseconds=at)
    return f"TIMESTAMP '{moment.isoformat(sep=' ', timespec='microseconds')}'"


def _table(read: Read) -> str:
    return _address(read.address)


def _address(parts: Sequence[str]) -> str:
    return ".".join(map(quoted, parts))


def _list(names: Sequence[str]) -> str:
    return ", ".join(map(quoted, names))


def quoted(name: str) -> str:
    """As a name."""
    return "`" + _escaped(name).replace("`", "\\`") + "`"


def _text(value: str) -> str:
    return "'" + _escaped(value).replace("'", "\\'") + "'"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")
