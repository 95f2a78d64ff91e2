"""The statements that read a table at Databricks. Versions are integers of ours and stand in the
text; nothing else of them comes from anywhere but the catalog."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.warehouse.domain.databricks.names import address_text, quoted
from services.warehouse.domain.databricks.values import Column

KIND, VERSION, AT = "_change_type", "_commit_version", "_commit_timestamp"


@dataclass(frozen=True, slots=True)
class Read:
    """What is read of a table."""

    address: tuple[str, ...]
    columns: tuple[Column, ...]


def snapshot(read: Read, version: int) -> str:
    """All rows of a version."""
    return (
        f"SELECT {_asked(read.columns)} FROM {address_text(read.address)}"  # noqa: S608
        f" VERSION AS OF {version:d}"
    )


def changes(read: Read, key: Sequence[Column], first: int, last: int) -> str:
    """Kind, version, commit in milliseconds, columns; the rows of one key of a version together."""
    order = ", ".join(quoted(column.there) for column in key)
    return (
        f"SELECT {KIND}, {VERSION}, unix_millis({AT}), {_asked(read.columns)}"  # noqa: S608
        f" FROM {relation(read, first, last)} ORDER BY {VERSION}, {order}"
    )


def relation(read: Read, first: int, last: int) -> str:
    """What stands behind FROM: the rows of the feed, both versions among them."""
    return f"table_changes({_text(address_text(read.address))}, {first:d}, {last:d})"


def probe(read: Read, version: int) -> str:
    """Fails where the feed of a version may not be read, and costs next to nothing."""
    return f"SELECT {KIND} FROM {relation(read, version, version)} LIMIT 1"  # noqa: S608


def detail(address: Sequence[str]) -> str:
    """One row, with the table's id and format."""
    return f"DESCRIBE DETAIL {address_text(address)}"


def newest(address: Sequence[str]) -> str:
    """One row, with the version and its time."""
    return f"DESCRIBE HISTORY {address_text(address)} LIMIT 1"


def columns(address: Sequence[str]) -> str:
    """A row for each column, then an empty one and others behind it."""
    return f"DESCRIBE TABLE {address_text(address)}"


def shown(address: Sequence[str], name: str) -> str:
    """One row, with the property's name and value."""
    return f"SHOW TBLPROPERTIES {address_text(address)} ({_text(name)})"


def enable(address: Sequence[str], name: str) -> str:
    """What the table's owner is asked for; Afflux never runs it."""
    return f"ALTER TABLE {address_text(address)} SET TBLPROPERTIES ({name} = true)"


def granted(privilege: str, kind: str, address: Sequence[str], principal: str) -> str:
    """What the administrator is asked for; Afflux never runs it."""
    return f"GRANT {privilege} ON {kind} {address_text(address)} TO {quoted(principal)}"


def _asked(columns: Sequence[Column]) -> str:
    return ", ".join(column.asked for column in columns)


def _text(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
