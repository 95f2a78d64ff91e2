"""Metrics, alerts, dashboard and the page about them agree; promtool accepts the rules."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from deploy.grafana import dashboard
from deploy.grafana.panels import ROWS
from deploy.prometheus import reference
from deploy.prometheus.reference import Metric, declared_alerts, declared_metrics
from services.warehouse.readers import DISTANCE

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
PROVISIONING = ROOT / "deploy" / "grafana" / "provisioning"
PROMTOOL = shutil.which("promtool")
UNITS = ("_total", "_seconds", "_bytes", "_records", "_events", "_partitions")
PLAIN_GAUGES = ("_up", "_paused", "_in_flight", "_waiting", "_ready")
"""Endings of gauges that count things named by the metric itself, or say yes or no."""
LABELS = {
    *("stage", "outcome", "record", "code", "route", "status", "source", "reason"),
    *("result", "cause", "destination", "step"),
}
FROM_PROMETHEUS = {"up", "process_start_time_seconds", "ALERTS"}
FROM_SCRAPING = {"job", "instance", "service", "le"}

METRICS = {metric.name: metric for metric in declared_metrics()}
SERIES = {series: metric for metric in METRICS.values() for series in metric.series}
ALERTS = declared_alerts()
QUERIES = [
    *((alert.name, alert.expression) for alert in ALERTS),
    *(
        (f"{panel.title}, {legend}", query)
        for row in ROWS
        for panel in row.panels
        for legend, query in panel.queries.items()
    ),
]

with_promtool = pytest.mark.skipif(
    PROMTOOL is None, reason="promtool is missing: install Debian's package prometheus"
)


def yaml(path: Path) -> Any:
    return YAML(typ="safe").load(path)


def test_every_services_metrics_are_known() -> None:
    folders = {path.parent.name for path in (ROOT / "services").glob("*/metrics.py")}
    assert folders == set(reference.DECLARING)


def test_every_declared_metric_is_counted_somewhere() -> None:
    services = ROOT / "services"
    code = {
        path: path.read_text(encoding="utf-8")
        for path in services.rglob("*.py")
        if path.name != "metrics.py"
    }
    declared = [
        (path.parent.name, name)
        for path in services.glob("*/metrics.py")
        for name in re.findall(r"^([A-Z_]+) = (?:Counter|Gauge|Histogram)", path.read_text(), re.M)
    ]
    assert len(declared) == len(METRICS)
    silent = {
        f"{service}.{name}"
        for service, name in declared
        if not any(re.search(rf"\b(?:metrics\.)?{name}\b\.", text) for text in code.values())
    }
    assert not silent


@pytest.mark.parametrize("metric", METRICS.values(), ids=lambda metric: metric.name)
def test_a_metric_is_named_for_its_unit_and_says_what_it_means(metric: Metric) -> None:
    assert metric.name.startswith("afflux_")
    assert metric.name.endswith(UNITS if metric.kind != "gauge" else (*UNITS, *PLAIN_GAUGES))
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    assert metric.help.endswith(".")
    assert len(metric.help.split()) > 7


@pytest.mark.parametrize("metric", METRICS.values(), ids=lambda metric: metric.name)
def test_labels_come_from_one_short_list(metric: Metric) -> None:
    assert set(metric.labels) <= LABELS


@pytest.mark.parametrize(("place", "query"), QUERIES, ids=[place for place, _ in QUERIES])
def test_a_query_asks_for_declared_metrics_by_declared_labels(place: str, query: str) -> None:
    named = set(re.findall(r"\b(?:afflux_\w+|up|process_\w+)\b", query))
    assert named
    assert named <= SERIES.keys() | FROM_PROMETHEUS
    known = {label for name in named & SERIES.keys() for label in SERIES[name].labels}
    assert _labels_in(query) <= known | FROM_SCRAPING


def test_a_legend_names_labels_that_its_query_keeps() -> None:
    for row in ROWS:
        for panel in row.panels:
            for legend, query in panel.queries.items():
                kept = {
                    label.strip()
                    for group in re.findall(r"\bby \(([^)]*)\)", query)
                    for label in group.split(",")
                }
                named = set(re.findall(r"\{\{(\w+)\}\}", legend))
                assert named <= kept | {"instance"}, panel.title


def test_an_alert_says_what_it_means_and_what_to_do() -> None:
    assert len({alert.name for alert in ALERTS}) == len(ALERTS)
    for alert in ALERTS:
        assert alert.severity in {"critical", "warning"}
        assert not alert.summary.endswith(".")
        assert "{{" not in alert.description, "the page shows it as it is"
        assert alert.description.endswith(".")
        assert alert.action.endswith(".")


def test_every_alert_is_seen_firing_in_a_rule_test() -> None:
    tested = (PROMETHEUS / "alerts_test.yml").read_text(encoding="utf-8")
    assert [alert.name for alert in ALERTS if alert.name not in tested] == []


@with_promtool
def test_promtool_accepts_the_configuration_and_its_rules() -> None:
    assert _promtool("check", "config", "prometheus.yml").returncode == 0


@with_promtool
def test_alerts_fire_when_they_should_and_only_then() -> None:
    done = _promtool("test", "rules", "alerts_test.yml")
    assert done.returncode == 0, done.stdout + done.stderr


@with_promtool
def test_promtool_would_notice_a_broken_rule(tmp_path: Path) -> None:
    broken = (PROMETHEUS / "alerts.yml").read_text(encoding="utf-8").replace("up{", "up{{", 1)
    (tmp_path / "broken.yml").write_text(broken, encoding="utf-8")
    assert _promtool("check", "rules", str(tmp_path / "broken.yml")).returncode != 0


def test_prometheus_scrapes_every_service_of_the_compose_file_where_it_answers() -> None:
    services = yaml(ROOT / "docker-compose.yml")["services"]
    ours = {
        f"{name}:{service['environment']['AFFLUX_HEALTH_PORT']}": name
        for name, service in services.items()
        if "AFFLUX_HEALTH_PORT" in service.get("environment", {})
    }
    job, senders, readers = yaml(PROMETHEUS / "prometheus.yml")["scrape_configs"]
    scraped = {
        target: group["labels"]["service"]
        for group in job["static_configs"]
        for target in group["targets"]
    }
    assert scraped == ours
    port = int(services["senders"]["environment"]["AFFLUX_HEALTH_PORT"])
    (each,) = senders["static_configs"]
    assert each["targets"] == [f"senders:{port + n}" for n in range(1, 17)]
    (each,) = readers["static_configs"]
    assert each["targets"] == [f"warehouse:{port + DISTANCE + n}" for n in range(16)]


def test_grafana_finds_the_prometheus_and_the_dashboard_of_the_compose_file() -> None:
    services = yaml(ROOT / "docker-compose.yml")["services"]
    (source,) = yaml(PROVISIONING / "datasources" / "prometheus.yml")["datasources"]
    assert source["uid"] == dashboard.DATASOURCE["uid"]
    assert source["url"] == "http://prometheus:9090"
    assert "prometheus" in services
    (provider,) = yaml(PROVISIONING / "dashboards" / "afflux.yml")["providers"]
    folder = f"./{dashboard.FILE.parent.relative_to(ROOT)}:{provider['options']['path']}:ro"
    assert folder in services["grafana"]["volumes"]


def test_the_page_shows_what_is_declared() -> None:
    page = reference.PAGE.read_text(encoding="utf-8")
    assert page == reference.with_tables(page), "run python -m deploy.prometheus.reference"
    assert [name for name in METRICS if f"| `{name}` |" not in page] == []


def _labels_in(query: str) -> set[str]:
    grouped = ",".join(re.findall(r"\b(?:by|on) \(([^)]*)\)", query)).split(",")
    matched = re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", query)
    return {label.strip() for label in (*grouped, *matched)} - {""}


def _promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    assert PROMTOOL is not None
    return subprocess.run(
        [PROMTOOL, *arguments], cwd=PROMETHEUS, capture_output=True, text=True, check=False
    )
