"""The tables in docs/operations.md, from the declarations themselves.

`python -m deploy.prometheus.reference` writes them into the page.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from prometheus_client.metrics import MetricWrapperBase
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "operations.md"
ALERTS = Path(__file__).with_name("alerts.yml")
DECLARING = ("runtime", "ingest", "identity", "segmenter", "activator", "warehouse")
"""The folders under `services/` with a `metrics.py`, in flow order after the runtime."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric as declared."""

    service: str
    name: str
    kind: str
    labels: tuple[str, ...]
    help: str

    @property
    def series(self) -> tuple[str, ...]:
        """The names that a query may use."""
        if self.kind == "histogram":
            return tuple(f"{self.name}_{part}" for part in ("bucket", "count", "sum"))
        return (self.name,)


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert as declared."""

    name: str
    severity: str
    expression: str
    summary: str
    description: str
    action: str


def declared_metrics() -> list[Metric]:
    """Every metric of every service, in the order of their files."""
    return [metric for service in DECLARING for metric in _metrics_of(service)]


def declared_alerts() -> list[Alert]:
    """Every alert, in the order of the file."""
    rules = YAML(typ="safe").load(ALERTS)
    return [
        Alert(
            name=rule["alert"],
            severity=rule["labels"]["severity"],
            expression=rule["expr"],
            **rule["annotations"],
        )
        for group in rules["groups"]
        for rule in group["rules"]
    ]


def with_tables(page: str) -> str:
    """The page with its tables as they should be."""
    page = _between(page, "metrics", _metric_tables(declared_metrics()))
    return _between(page, "alerts", _alert_table(declared_alerts()))


def _metrics_of(service: str) -> Iterator[Metric]:
    for value in vars(import_module(f"services.{service}.metrics")).values():
        if isinstance(value, MetricWrapperBase):
            suffix = "_total" if value._type == "counter" else ""
            yield Metric(
                service=service,
                name=value._name + suffix,
                kind=str(value._type),
                labels=tuple(value._labelnames),
                help=value._documentation,
            )


def _metric_tables(metrics: Sequence[Metric]) -> str:
    tables = []
    for service in DECLARING:
        title = "Every stage" if service == "runtime" else service.capitalize()
        rows = [
            (f"`{m.name}`", m.kind, ", ".join(m.labels) or "–", m.help)
            for m in metrics
            if m.service == service
        ]
        head = ("metric", "kind", "labels", "meaning")
        tables.append(f"### {title}\n\n{_table(head, rows)}")
    return "\n\n".join(tables)


def _alert_table(alerts: Sequence[Alert]) -> str:
    rows = [(f"`{a.name}`", a.severity, a.description, a.action) for a in alerts]
    return _table(("alert", "severity", "means", "what to do"), rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    cells = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    lines = [head, ["---"] * len(head), *cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _between(page: str, name: str, content: str) -> str:
    begin, end = f"<!-- {name}: generated -->", f"<!-- {name}: end -->"
    before, _, rest = page.partition(begin)
    _, _, after = rest.partition(end)
    return f"{before}{begin}\n\n{content}\n\n{end}{after}"


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
