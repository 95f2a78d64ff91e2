"""How much a sender collects: what fills the requests that this instance makes, and no longer."""

import pytest
from pydantic import SecretStr

from services.activator.collecting import BATCH_LINGER_S, Taking, taking
from services.activator.settings import ActivatorSettings
from tests.unit.activator.examples import an_instance

AT_ONCE = 0.02


@pytest.mark.parametrize(
    ("name", "more", "expected"),
    [
        ("webhook", {}, Taking(300, AT_ONCE)),
        ("webhook", {"linger": 0.5}, Taking(300, 0.5)),
        ("intercom", {}, Taking(150, AT_ONCE)),
        ("iterable", {}, Taking(30_000, BATCH_LINGER_S)),
        ("snapchat_audiences", {}, Taking(30_000, BATCH_LINGER_S)),
    ],
)
def test_s7_a_change_waits_for_others_only_where_they_share_its_request(
    name: str, more: dict[str, float], expected: Taking
) -> None:
    settings = ActivatorSettings(
        kafka_bootstrap="kafka:9092", postgres_dsn=SecretStr("postgresql://db")
    )
    assert taking(an_instance(name, more), settings) == expected
