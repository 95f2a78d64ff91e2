"""A short selection of the matrix; `make clients` runs all of it (contract §12, §14)."""

from pathlib import Path

import pytest

from deploy.local.kafka import Kafka
from tests.clients.cases import CASES
from tests.clients.conftest import usable
from tests.clients.matrix import Servers, run

SELECTION = {
    "broker stopped": ("old-py", "rud-py", "jitsu-node", "next"),
    "proxy: 429, Retry-After 1": ("old-py", "seg-py", "rud-node", "next-batch"),
    "proxy: cut after it was stored": ("rud-py", "seg-node", "jitsu-node", "rud-js"),
}
"""Case → clients: one that gives up at once, one that repeats, one that never does, one page."""


@pytest.mark.parametrize("case", SELECTION)
def test_s14_what_clients_send_in_an_outage_is_stored_once(
    case: str, broker: Kafka, database: str, tmp_path: Path
) -> None:
    clients = [usable(name) for name in SELECTION[case]]
    rows = run(CASES[case], clients, Servers(broker, database), tmp_path, calls=60)
    assert [row for row in rows if not row.is_right] == []
