"""Runs local-bigquery in its own environment, and teaches it CHANGES and APPENDS.

The emulator keeps its tables in DuckLake, which knows every commit: the two functions become
queries of that, and the option that BigQuery wants for it is one that is kept.
Everything else goes to the emulator as it came.
"""

import json
import os
import re
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import uvicorn
from local_bigquery import app
from local_bigquery.catalog.options import TABLE_OPTIONS, Option
from local_bigquery.engine import database
from local_bigquery.settings import settings

HISTORY = re.compile(
    r"(CHANGES|APPENDS)\(TABLE `([^`]+)`\.`([^`]+)`\.`([^`]+)`,"
    r" TIMESTAMP '([^']+)', TIMESTAMP '([^']+)'\)"
)
KINDS = {"CHANGES": "'INSERT', 'UPDATE', 'DELETE'", "APPENDS": "'INSERT'"}
COMMITS = """
    SELECT CAST(epoch_us(snapshot_time) AS VARCHAR) FROM ducklake_snapshots('{project}')
    WHERE snapshot_time < TIMESTAMPTZ '{end}' ORDER BY snapshot_id
"""
PAST = """(
    SELECT *, TO_JSON_STRING(t) AS afflux_text
    FROM (SELECT * FROM {table} FOR SYSTEM_TIME AS OF TIMESTAMP_MICROS({at})) AS t
)"""
NOW_ONLY = """
    SELECT n.* EXCEPT (afflux_text), IF(o.id IS NULL, 'INSERT', 'UPDATE') AS _CHANGE_TYPE,
        TIMESTAMP_MICROS({at}) AS _CHANGE_TIMESTAMP
    FROM {now} n LEFT JOIN (SELECT DISTINCT id FROM {before}) o ON n.id = o.id
    WHERE n.afflux_text NOT IN (SELECT afflux_text FROM {before})
"""
BEFORE_ONLY = """
    SELECT o.* EXCEPT (afflux_text), 'DELETE' AS _CHANGE_TYPE,
        TIMESTAMP_MICROS({at}) AS _CHANGE_TIMESTAMP
    FROM {before} o LEFT JOIN {now} n ON n.id = o.id
    WHERE n.id IS NULL AND o.afflux_text NOT IN (SELECT afflux_text FROM {now})
"""
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]


def as_query(found: re.Match[str]) -> str:
    """Commit by commit the difference to the one before; DuckLake's own `table_changes` leaves
    out deletes in files that had some already."""
    function, project, dataset, name, begin, end = found.groups()
    table = f"`{project}`.`{dataset}`.`{name}`"
    since = datetime.fromisoformat(begin).timestamp() * 1_000_000
    instants = [int(at) for (at,) in database.fetch(COMMITS.format(project=project, end=end))]
    parts = [
        part
        for before, at in pairwise(instants)
        if at >= since
        for part in _of_commit(table, before, at)
    ]
    nothing = f"""SELECT *, '' AS _CHANGE_TYPE, TIMESTAMP_MICROS(0) AS _CHANGE_TIMESTAMP
        FROM {table} WHERE FALSE"""
    every = " UNION ALL ".join([nothing, *parts])
    return f"(SELECT * FROM ({every}) WHERE _CHANGE_TYPE IN ({KINDS[function]}))"


def _of_commit(table: str, before: int, at: int) -> list[str]:
    """What it inserted or updated, and what it deleted; rows are told apart by their `id`."""
    past = {"before": PAST.format(table=table, at=before), "now": PAST.format(table=table, at=at)}
    return [query.format(**past, at=at) for query in (NOW_ONLY, BEFORE_ONLY)]


class Taught:
    """The emulator's application behind a rewriting of the queries that it is asked."""

    async def __call__(self, scope: Message, receive: Receive, send: Any) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await app(scope, receive, send)
            return
        body = await _body(receive)
        try:
            job = json.loads(body)
            query = job["configuration"]["query"]
            query["query"] = HISTORY.sub(as_query, query["query"])
        except (ValueError, KeyError, TypeError):
            await app(scope, _replay(body, receive), send)
            return
        changed = json.dumps(job).encode()
        kept = [pair for pair in scope["headers"] if pair[0] != b"content-length"]
        length = (b"content-length", str(len(changed)).encode())
        await app({**scope, "headers": [*kept, length]}, _replay(changed, receive), send)


async def _body(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


def _replay(body: bytes, receive: Receive) -> Receive:
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def next_message() -> Message:
        return messages.pop() if messages else await receive()

    return next_message


def install_extensions() -> None:
    """Into the home of this process, for the emulator loads them and cannot fetch them."""
    packages = Path(duckdb.__file__).parent.parent
    installing = duckdb.connect()
    for extension in sorted(packages.glob("duckdb_extension_*/**/*.duckdb_extension")):
        installing.install_extension(str(extension))


def main(port: str, directory: str, project: str) -> None:
    os.environ["HOME"] = directory
    install_extensions()
    settings.data_dir, settings.default_project_id = Path(directory), project
    TABLE_OPTIONS["enable_change_history"] = Option(
        "enableChangeHistory", "BOOL", render=lambda value: str(value).lower()
    )
    uvicorn.run(Taught(), host="127.0.0.1", port=int(port), log_level="warning")


if __name__ == "__main__":
    main(*sys.argv[1:])
