"""Kafka's jars are fetched once, by whoever comes first, and the Java that runs them is checked."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from deploy.local.errors import MissingPrerequisite, ServerFailed
from deploy.local.jars import cache_directory, java, kafka_jars
from deploy.local.rungs import kafka_lacks

FETCHES = (
    '/bin/mkdir -p "${5#-DoutputDirectory=}" && echo jar > "${5#-DoutputDirectory=}/kafka.jar"'
)


def test_fetched_once_and_then_taken_from_the_cache(tmp_path: Path) -> None:
    program = _program(tmp_path, "mvn", FETCHES)
    environment = _environment(tmp_path)
    jars = kafka_jars(environment)
    program.unlink()
    assert kafka_jars(environment) == jars
    assert [path.name for path in jars.iterdir()] == ["kafka.jar"]


def test_two_clones_that_fetch_at_once_both_have_the_jars(tmp_path: Path) -> None:
    """Each program waits until the other runs too, so both downloads surely overlap."""
    barrier = (
        f"/bin/mkfifo {tmp_path}/met 2>/dev/null && read met < {tmp_path}/met "
        f"|| echo met > {tmp_path}/met"
    )
    _program(tmp_path, "mvn", f"{{ {barrier}; }} && {FETCHES}")
    environment = _environment(tmp_path)
    with ThreadPoolExecutor(2) as clones:
        fetched = [clones.submit(kafka_jars, environment) for _ in range(2)]
    assert {clone.result() for clone in fetched} == {tmp_path / "cache" / "kafka-4.3.1"}
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["kafka-4.3.1"]


def test_a_failed_download_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    _program(tmp_path, "mvn", "echo '[ERROR] no route to host'; exit 1")
    with pytest.raises(ServerFailed, match="no route to host"):
        kafka_jars(_environment(tmp_path))
    assert not list((tmp_path / "cache").iterdir())


def test_without_maven_and_jars_the_sentence_names_maven(tmp_path: Path) -> None:
    _program(tmp_path, "java", "echo 'openjdk version \"21\" 2023-09-19' >&2")
    lacking = kafka_lacks(_environment(tmp_path))
    assert str(lacking) == (
        "Kafka's jars are not cached yet and Maven fetches them: "
        "install it (Debian, Ubuntu: apt install maven)."
    )


@pytest.mark.parametrize("version", ["17.0.15", "21", "25-ea", "26.0.1"])
def test_java_17_and_newer_will_do(tmp_path: Path, version: str) -> None:
    program = _program(tmp_path, "java", f"echo 'openjdk version \"{version}\"' >&2")
    assert java(_environment(tmp_path)) == str(program)


@pytest.mark.parametrize("said", ['java version "1.8.0_402"', 'openjdk version "11.0.2"', "what?"])
def test_an_older_java_is_refused(tmp_path: Path, said: str) -> None:
    _program(tmp_path, "java", f"echo '{said}' >&2")
    with pytest.raises(MissingPrerequisite, match="needs Java 17 or newer"):
        java(_environment(tmp_path))


@pytest.mark.parametrize(
    ("environment", "directory"),
    [
        ({"AFFLUX_CACHE": "/a/b", "XDG_CACHE_HOME": "/x"}, "/a/b"),
        ({"XDG_CACHE_HOME": "/x"}, "/x/afflux"),
        ({}, str(Path.home() / ".cache" / "afflux")),
    ],
)
def test_the_cache_lies_outside_the_clone(environment: Mapping[str, str], directory: str) -> None:
    assert str(cache_directory(environment)) == directory


def _program(tmp_path: Path, name: str, script: str) -> Path:
    program = tmp_path / "bin" / name
    program.parent.mkdir(exist_ok=True)
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return program


def _environment(tmp_path: Path) -> Mapping[str, str]:
    return {"PATH": str(tmp_path / "bin"), "AFFLUX_CACHE": str(tmp_path / "cache")}
