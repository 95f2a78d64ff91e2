"""Runs fakesnow in its own environment, and teaches it time travel, CHANGES and the catalog.

The emulator has no AT and no CHANGES. A table of a test has its versions beside it, in a table of
that name and `__HISTORY`, and what the catalog says of it in `SHOWN`; the relation behind FROM
becomes a query of the versions. Every statement is written down with the session that sent it, for
those who want to know what a reader sends. Everything else is the emulator's.
"""

import re
import sys
from pathlib import Path
from typing import Any

import uvicorn
from fakesnow.cursor import FakeSnowflakeCursor
from fakesnow.server import app

TABLE = r'"(\w+)"\."(\w+)"\."(\w+)"'
INSTANT = r"\(TIMESTAMP => ('[^']+'::TIMESTAMP_TZ)\)"
CHANGES = re.compile(rf"{TABLE} CHANGES\(INFORMATION => DEFAULT\) AT{INSTANT} END{INSTANT}")
PAST = re.compile(rf"{TABLE} AT{INSTANT}")
SHOW = re.compile(r"SHOW (TABLES|VIEWS) LIKE '(\w+)' IN SCHEMA \"(\w+)\".\"(\w+)\"")


def _past(database: str, schema: str, table: str, at: str) -> str:
    history = f'"{database}"."{schema}"."{table}__HISTORY"'
    return f"(SELECT * FROM {history} WHERE SINCE <= {at} AND (UNTIL IS NULL OR UNTIL > {at}))"


def _as_past(found: re.Match[str]) -> str:
    database, schema, table, at = found.groups()
    return _past(database, schema, table, at)


def _as_changes(found: re.Match[str]) -> str:
    """The net change: of a row id its version at the begin, its version at the end, or both."""
    database, schema, table, begin, end = found.groups()
    earlier, later = (_past(database, schema, table, at) for at in (begin, end))
    is_new = "o.ROW_ID IS NULL OR o.SINCE <> r.SINCE"
    return (
        f"(SELECT r.*, 'DELETE' AS METADATA$ACTION, o.ROW_ID IS NOT NULL AS METADATA$ISUPDATE,"
        f" r.ROW_ID AS METADATA$ROW_ID FROM {earlier} r LEFT JOIN {later} o"
        f" ON o.ROW_ID = r.ROW_ID WHERE {is_new}"
        f" UNION ALL SELECT r.*, 'INSERT', o.ROW_ID IS NOT NULL, r.ROW_ID"
        f" FROM {later} r LEFT JOIN {earlier} o ON o.ROW_ID = r.ROW_ID WHERE {is_new})"
    )


def _as_shown(found: re.Match[str]) -> str:
    kind, name, database, schema = found.groups()
    return (
        f'SELECT * FROM "{database}"."{schema}"."SHOWN"'
        f" WHERE UPPER(\"name\") = UPPER('{name}') AND \"kind\" = '{kind[:-1]}'"
    )


def taught(statement: str) -> str:
    for pattern, meaning in ((CHANGES, _as_changes), (PAST, _as_past), (SHOW, _as_shown)):
        statement = pattern.sub(meaning, statement)
    return statement


def teach(log: Path) -> None:
    """In front of every statement that a client sends."""
    execute = FakeSnowflakeCursor.execute

    def taught_execute(cursor: Any, command: str, *given: Any, **more: Any) -> Any:
        if more.get("server"):
            with log.open("a", encoding="utf-8") as lines:
                lines.write(" ".join(command.split()) + "\n")
            command = taught(command)
        return execute(cursor, command, *given, **more)

    FakeSnowflakeCursor.execute = taught_execute


if __name__ == "__main__":
    _, port, log = sys.argv
    teach(Path(log))
    uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="warning")
