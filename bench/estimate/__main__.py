"""Estimates over a million profiles, and over a sample of them; a wrong number voids its time."""

import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from cyclopts import App
from rich.console import Console
from rich.table import Table

from bench.estimate.fill import DAY, NOW, fill
from services.segmenter.domain.estimate import Estimate
from services.segmenter.domain.segment import parse_segment
from services.segmenter.view import View

_MINE = "SELECT count(*) FROM (SELECT h.profile FROM happened h"
_TOTAL = "CAST(hash(h.id + 2) % 200 AS BIGINT)"
CASES: Mapping[str, tuple[dict[str, Any], str]] = {
    "three orders in 30 days": (
        {"event": "Order", "count": {"at_least": 3}, "within": "30d"},
        f"{_MINE} WHERE h.name = 'Order' AND h.\"at\" > {NOW - 30 * DAY}"
        " GROUP BY 1 HAVING count(*) >= 3)",
    ),
    "spent over 300": (
        {"event": "Order", "sum": "total", "op": "greater_than", "value": 300},
        f"{_MINE} WHERE h.name = 'Order' GROUP BY 1 HAVING sum({_TOTAL}) > 300)",
    ),
    "order over 150 in category c7": (
        {
            "event": "Order",
            "where": [
                {"property": "category", "op": "equals", "value": "c7"},
                {"property": "total", "op": "greater_than", "value": 150},
            ],
        },
        f"{_MINE} WHERE h.name = 'Order' AND hash(h.id + 3) % 20 = 7 AND {_TOTAL} > 150"
        " GROUP BY 1)",
    ),
    "pro, no visit in 14 days": (
        {
            "all": [
                {"trait": "plan", "op": "equals", "value": "pro"},
                {"event": "Visit", "count": {"exactly": 0}, "within": "14d"},
            ]
        },
        "SELECT count(*) FROM known k WHERE hash(k.profile + 4) % 3 = 1 AND k.profile NOT IN"
        " (SELECT h.profile FROM happened h"
        f" WHERE h.name = 'Visit' AND h.\"at\" > {NOW - 14 * DAY})",
    ),
    "cart, then no order for a day": (
        {
            "sequence": [{"event": "Cart"}, {"absent": {"event": "Order"}, "wait": "1d"}],
            "within": "30d",
        },
        f"{_MINE} LEFT JOIN (SELECT profile, max(\"at\") AS last FROM happened WHERE name = 'Order'"
        " GROUP BY 1) o ON o.profile = h.profile WHERE h.name = 'Cart'"
        f' AND h."at" + {DAY} BETWEEN {NOW - 30 * DAY + 1} AND {NOW}'
        ' AND (o.last IS NULL OR o.last <= h."at") GROUP BY 1)',
    ),
}
"""What is asked, and what an analyst would ask of the numbers that everything was made from."""

app = App(help="Seconds an estimate takes.")


@app.default
def main(*, profiles: int = 1_000_000, runs: int = 5, most: int = 250_000) -> int:
    """Measure all of them and a sample; exit code 1 when a number is wrong."""
    console = Console(width=110)
    with tempfile.TemporaryDirectory(prefix="afflux-bench-") as name:
        fill(Path(name), profiles)
        wrong = _measured(console, Path(name), f"all {profiles:,} profiles", profiles, runs)
        return wrong or _measured(console, Path(name), f"a sample, {most:,} at most", most, runs)


def _measured(console: Console, directory: Path, title: str, most: int, runs: int) -> int:
    table = Table(title=title)
    for column in ("estimate", "members", "95 %", "right", "seconds, median", "range"):
        table.add_column(column)
    with closing(View(directory, most=most)) as view:
        right = {name: view.count(text) for name, (_, text) in CASES.items()}
        view.take_in([], {0: 1})
        for name, (where, _) in CASES.items():
            found, seconds = _estimated(view, where, runs)
            if not _is_right(found, right[name]):
                console.print(
                    f"{name}: estimated {found.low:,} to {found.high:,}, it is {right[name]:,}"
                )
                return 1
            table.add_row(name, *_row(found, right[name], seconds))
    console.print(table)
    return 0


def _estimated(view: View, where: dict[str, Any], runs: int) -> tuple[Estimate, list[float]]:
    document = {"kind": "segment", "id": "s", "where": where}
    condition = parse_segment(document, version=1, state="live").condition
    seconds = []
    for _ in range(runs):
        began = time.perf_counter()
        found = view.estimate(condition, {})
        seconds.append(time.perf_counter() - began)
    return found, seconds


def _is_right(found: Estimate, right: int) -> bool:
    """A sample's interval may miss it one time in twenty; twice as wide, hardly ever."""
    slack = found.high - found.low
    return found.low - slack <= right <= found.high + slack


def _row(found: Estimate, right: int, seconds: list[float]) -> tuple[str, ...]:
    return (
        f"{found.members:,}",
        f"{found.low:,} – {found.high:,}",
        f"{right:,}",
        f"{statistics.median(seconds):.2f}",
        f"{min(seconds):.2f} – {max(seconds):.2f}",
    )


if __name__ == "__main__":
    sys.exit(app(result_action="return_value"))
