"""What unmodified clients say is stored as they said it (contract §15, §8)."""

import json
from collections import Counter
from collections.abc import Iterator

import pytest

from deploy.local.kafka import Kafka
from tests.clients.calls import of_every_kind
from tests.clients.comparison import assert_same
from tests.clients.driving import driven
from tests.clients.recorder import Recorder, recorder
from tests.clients.roster import Client
from tests.clients.service import assert_counters_agree, empty, events, ready_ingest
from tests.integration.ingest_process import IngestProcess, until


@pytest.fixture(scope="module")
def running(broker: Kafka) -> Iterator[IngestProcess]:
    empty(broker.bootstrap)
    with ready_ingest(broker.bootstrap) as process:
        yield process
        assert_counters_agree(process)


@pytest.fixture
def between(running: IngestProcess) -> Iterator[Recorder]:
    with recorder(running.url) as found:
        yield found


def test_s15_what_a_client_says_is_stored_as_it_was_said(
    client: Client, between: Recorder, broker: Kafka
) -> None:
    calls = of_every_kind(client)
    with driven(client, between.url, calls) as driver:
        driver.until_called()
        until(lambda: sum(len(one.events()) for one in between.sent) >= len(calls), "requests", 30)
        driver.close()
        driver.finish()
    assert driver.dropped == []
    assert {one.status for one in between.sent} == {200}
    sent = {event["messageId"]: (event, at) for one in between.sent for event, at in one.events()}
    every = events(broker.bootstrap)
    found = [json.loads(event.payload) for event in every if event.message_id in sent]
    assert Counter(event["messageId"] for event in found) == Counter(list(sent))
    assert Counter(event["type"] for event in found) == Counter(call["kind"] for call in calls)
    for event in found:
        assert_same(*sent[event["messageId"]], event)
