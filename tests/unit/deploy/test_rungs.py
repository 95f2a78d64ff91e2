"""Where Kafka and PostgreSQL come from is decided in one order."""

import socket
from pathlib import Path

import pytest

from deploy.local.containers import engine_answers
from deploy.local.errors import MissingPrerequisite
from deploy.local.rungs import Rung, choose_rung, kafka_bootstrap, kafka_lacks, postgres_dsn

LACKING = MissingPrerequisite("install it")


@pytest.mark.parametrize(
    ("given", "lacking", "engine", "chosen"),
    [
        ("kafka:9092", None, True, Rung.GIVEN),
        ("kafka:9092", LACKING, False, Rung.GIVEN),
        (None, None, True, Rung.LOCAL),
        ("", None, False, Rung.LOCAL),
        (None, LACKING, True, Rung.CONTAINERS),
    ],
)
def test_the_first_rung_that_bears_is_chosen(
    given: str | None, lacking: MissingPrerequisite | None, engine: bool, chosen: Rung
) -> None:
    assert choose_rung(given=given, lacking=lacking, engine=engine) is chosen


def test_with_no_rung_the_sentence_says_what_to_install() -> None:
    with pytest.raises(MissingPrerequisite, match="install it"):
        choose_rung(given=None, lacking=LACKING, engine=False)


def test_given_servers_are_used_as_they_are(tmp_path: Path) -> None:
    environment = {"AFFLUX_KAFKA_BOOTSTRAP": "a:1,b:2", "AFFLUX_POSTGRES_DSN": "postgresql://c/d"}
    with kafka_bootstrap(tmp_path, environment=environment) as bootstrap:
        assert bootstrap == "a:1,b:2"
    with postgres_dsn(tmp_path, environment=environment) as dsn:
        assert dsn == "postgresql://c/d"
    assert not list(tmp_path.iterdir())


def test_an_engine_is_looked_for_where_docker_would() -> None:
    with socket.create_server(("127.0.0.1", 0)) as engine:
        listening = {"DOCKER_HOST": f"tcp://127.0.0.1:{engine.getsockname()[1]}"}
        assert engine_answers(listening)
    assert not engine_answers(listening)
    assert not engine_answers({"DOCKER_HOST": "unix:///nowhere/docker.sock"})


def test_an_empty_path_lacks_java_in_one_sentence() -> None:
    lacking = kafka_lacks({"PATH": ""})
    assert str(lacking) == (
        "The local Kafka needs Java 17 or newer: "
        "install it (Debian, Ubuntu: apt install openjdk-17-jre-headless)."
    )
