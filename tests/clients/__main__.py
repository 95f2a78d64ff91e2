"""`make clients`: the matrix of clients and cases as a table; exit 1 when one lost an event."""

import argparse
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from deploy.local.errors import MissingPrerequisite
from deploy.local.kafka import kafka_server
from deploy.local.postgres import postgres_server
from tests.clients.cases import CASES
from tests.clients.matrix import Row, Servers, run
from tests.clients.roster import CLIENTS, Client

GROUP = 4
"""Clients that run at the same time: a page needs a core to itself."""
COUNTS = ("sent", "stored", "doubled", "copies", "passed on")
COLUMNS = ("client", "case", *COUNTS, "seconds", "in order", "")


def main() -> int:
    wanted = _arguments()
    console = Console(width=120)
    clients = [client for name in wanted.client if (client := _usable(CLIENTS[name], console))]
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="afflux-clients-") as name:
        directory = Path(name)
        with (
            kafka_server(directory / "kafka") as kafka,
            postgres_server(directory / "postgres", durable=False) as postgres,
        ):
            servers = Servers(kafka, postgres.dsn)
            for case in wanted.case:
                for start in range(0, len(clients), GROUP):
                    group, place = clients[start : start + GROUP], directory / f"{case}-{start}"
                    found = run(CASES[case], group, servers, place, calls=wanted.calls)
                    console.print(f"{case}: {', '.join(map(_in_brief, found))}")
                    rows += found
    console.print(_table(rows))
    wrong = [row for row in rows if not row.is_right]
    console.print(f"{len(rows)} rows, {len(wrong)} wrong")
    return 1 if wrong else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make clients", description=__doc__)
    parser.add_argument("--case", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--client", nargs="+", choices=list(CLIENTS), default=list(CLIENTS))
    parser.add_argument("--calls", type=int, default=120, help="of each client in each case")
    return parser.parse_args()


def _usable(client: Client, console: Console) -> Client | None:
    try:
        client.command()
    except MissingPrerequisite as missing:
        console.print(f"[yellow]without {client.name}[/]: {missing}")
        return None
    return client


def _in_brief(row: Row) -> str:
    """What is known before the table: a run takes half an hour."""
    return row.client if row.is_right else f"[red]{row.client} WRONG[/]"


def _table(rows: list[Row]) -> Table:
    table = Table(*COLUMNS, title="Clients against the running service")
    for row in rows:
        order = {None: "–", True: "yes", False: "no"}[row.is_in_order]
        counts = (row.sent, row.stored, row.doubled, row.copies, row.passed_on)
        figures = (*counts, f"{row.seconds:.1f}", order)
        remark = "" if row.is_right and row.stored == row.sent else row.excuse or "WRONG"
        style = "" if row.is_right else "red"
        table.add_row(row.client, row.case, *map(str, figures), remark, style=style)
    return table


sys.exit(main())
