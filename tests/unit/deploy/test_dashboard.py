"""The dashboard is what its table says, in the shape that Grafana reads."""

import json

from deploy.grafana import dashboard
from deploy.grafana.panels import ROWS

PANELS = [panel for panel in dashboard.dashboard()["panels"] if panel["type"] != "row"]


def test_the_file_is_up_to_date() -> None:
    written = dashboard.FILE.read_text(encoding="utf-8")
    assert written == dashboard.as_text(), "run python -m deploy.grafana.dashboard"
    assert json.loads(written) == dashboard.dashboard()


def test_every_panel_of_the_table_is_there_in_order() -> None:
    titles = [panel.title for row in ROWS for panel in row.panels]
    assert [panel["title"] for panel in PANELS] == titles
    assert len(set(titles)) == len(titles)


def test_panels_have_ids_of_their_own_and_do_not_overlap() -> None:
    everything = dashboard.dashboard()["panels"]
    assert len({panel["id"] for panel in everything}) == len(everything)
    cells: set[tuple[int, int]] = set()
    for panel in everything:
        place = panel["gridPos"]
        covered = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not covered & cells, panel["title"]
        assert place["x"] + place["w"] <= dashboard.WIDTH
        cells |= covered


def test_each_target_names_the_fixed_data_source_and_a_letter_of_its_own() -> None:
    for panel in PANELS:
        targets = panel["targets"]
        assert targets
        assert len({target["refId"] for target in targets}) == len(targets)
        assert {target["datasource"]["uid"] for target in targets} == {"afflux-prometheus"}


def test_every_panel_tells_how_to_read_it() -> None:
    for panel in PANELS:
        assert panel["description"].endswith("."), panel["title"]
