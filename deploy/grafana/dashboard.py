"""The table of panels as Grafana's JSON: `python -m deploy.grafana.dashboard` writes the file."""

import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

from deploy.grafana.panels import ROWS, Panel, Row

FILE = Path(__file__).parent / "dashboards" / "flow.json"
DATASOURCE = {"type": "prometheus", "uid": "afflux-prometheus"}
WIDTH = 24
"""Columns of Grafana's grid."""
HEIGHTS = {"timeseries": 8, "stat": 5}


def dashboard() -> dict[str, Any]:
    """The whole dashboard, in the shape that Grafana 11 and later read."""
    return {
        "uid": "afflux-flow",
        "title": "Afflux: the flow",
        "description": "From an accepted event to a delivered audience change.",
        "tags": ["afflux"],
        "schemaVersion": 41,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "5s",
        "time": {"from": "now-30m", "to": "now"},
        "timezone": "browser",
        "annotations": {"list": [_alarms()]},
        "templating": {"list": []},
        "panels": list(_panels(ROWS)),
    }


def as_text() -> str:
    """What the file holds."""
    return json.dumps(dashboard(), indent=2, ensure_ascii=False) + "\n"


def _panels(rows: tuple[Row, ...]) -> Iterator[dict[str, Any]]:
    numbers = count(1)
    top = 0
    for row in rows:
        place = {"x": 0, "y": top, "w": WIDTH, "h": 1}
        yield {
            "id": next(numbers),
            "type": "row",
            "title": row.title,
            "collapsed": False,
            "gridPos": place,
            "panels": [],
        }
        width = WIDTH // len(row.panels)
        height = max(HEIGHTS[panel.kind] for panel in row.panels)
        for column, panel in enumerate(row.panels):
            place = {"x": column * width, "y": top + 1, "w": width, "h": height}
            yield {"id": next(numbers), "gridPos": place, **_panel(panel)}
        top += 1 + height


def _panel(panel: Panel) -> dict[str, Any]:
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.tells,
        "datasource": DATASOURCE,
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "options": _STAT_OPTIONS if panel.kind == "stat" else _LINE_OPTIONS,
        "targets": [
            {
                "refId": chr(ord("A") + number),
                "datasource": DATASOURCE,
                "expr": query,
                "legendFormat": legend,
                "editorMode": "code",
                "range": True,
                "instant": False,
            }
            for number, (legend, query) in enumerate(panel.queries.items())
        ],
    }


def _defaults(panel: Panel) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.red_from is not None:
        steps.append({"color": "red", "value": panel.red_from})
    defaults: dict[str, Any] = {
        "unit": panel.unit,
        "thresholds": {"mode": "absolute", "steps": steps},
    }
    if panel.kind == "timeseries":
        line = "off" if panel.red_from is None else "line"
        defaults["color"] = {"mode": "palette-classic"}
        defaults["custom"] = {
            "drawStyle": "line",
            "lineWidth": 1,
            "fillOpacity": 10,
            "showPoints": "never",
            "thresholdsStyle": {"mode": line},
        }
    return defaults


_STAT_OPTIONS = {
    "colorMode": "value",
    "graphMode": "area",
    "textMode": "value_and_name",
    "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
}
_LINE_OPTIONS = {
    "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
    "tooltip": {"mode": "multi", "sort": "desc"},
}


def _alarms() -> dict[str, Any]:
    """Firing alerts as marks in every panel."""
    return {
        "name": "Alerts",
        "enable": True,
        "iconColor": "red",
        "datasource": DATASOURCE,
        "expr": 'ALERTS{alertstate="firing"}',
        "titleFormat": "{{alertname}}",
        "textFormat": "{{stage}} {{destination}} {{service}}",
        "step": "15s",
    }


if __name__ == "__main__":
    FILE.write_text(as_text(), encoding="utf-8")
