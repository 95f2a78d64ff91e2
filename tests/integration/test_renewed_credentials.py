"""A grant that was revoked pauses its destination; `afflux resume` goes on with the new one."""

import asyncio
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from schemas.codec import encode
from schemas.topics import DEAD_LETTERS, DEFINITIONS, activations
from services.control.cli import run
from tests.integration.activator_house import Processes, publish, wait_until
from tests.integration.conftest import KafkaAddress, PostgresAddress
from tests.integration.stub_house import digest, person, profile
from tests.integration.topics import recreate_topics
from tests.stub.serving import serving
from tests.unit.activator.builders import activation, definition
from tests.unit.activator.examples import SETTINGS

PARTITIONS = 1
NAME = "snapchat_audiences"


def test_s3_a_revoked_grant_pauses_and_resume_goes_on_with_the_new_one(
    kafka: KafkaAddress,
    postgres: PostgresAddress,
    processes: Processes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AFFLUX_KAFKA_BOOTSTRAP", kafka.bootstrap)
    monkeypatch.setenv("AFFLUX_POSTGRES_DSN", postgres.dsn)
    recreate_topics(kafka.bootstrap, (DEFINITIONS, DEAD_LETTERS, activations("snap")), PARTITIONS)
    grant = tmp_path / "grant"
    grant.write_text("the first grant")
    with serving() as stub:
        _define(kafka, f"{stub.url}/{NAME}", grant)
        processes.start("sender", "snap")
        members = stub.world(NAME).members
        _send(kafka, 0)
        wait_until(lambda: members == {"1000": {digest(0)}}, "the first member")
        stub.faults[NAME] = ["revoke_token"]
        _send(kafka, 1)
        wait_until(lambda: _paused(postgres) == ("needs_auth", "grant_refused", 1), "the pause")
        calls = len(stub.world(NAME).calls)
        _send(kafka, 2)
        wait_until(lambda: _paused(postgres) == ("needs_auth", "grant_refused", 2), "another")
        assert run(("resume", "snap")) == 0
        wait_until(lambda: _paused(postgres) == ("needs_auth", "grant_refused", 2), "still refused")
        assert len(stub.world(NAME).calls) == calls
        assert members == {"1000": {digest(0)}}
        grant.write_text("the second grant")
        assert run(("resume", "snap")) == 0
        wait_until(lambda: members == {"1000": {digest(n) for n in range(3)}}, "all that waited")


def _define(kafka: KafkaAddress, base: str, grant: Path) -> None:
    settings: dict[str, Any] = dict(SETTINGS[NAME]) | {
        "base_url": base,
        "token_url": f"{base}/token",
        "allow_private": True,
        "linger": 0.1,
        "refresh_token": f"file:{grant}",
    }
    record = definition(id="snap", type=NAME, settings=settings)
    publish(kafka.bootstrap, DEFINITIONS, [("destination:snap", encode(record))], 1)


def _send(kafka: KafkaAddress, number: int) -> None:
    record = activation(profile(number), profile=person(number))
    publish(kafka.bootstrap, activations("snap"), [(profile(number), encode(record))], PARTITIONS)


def _paused(postgres: PostgresAddress) -> tuple[str, str, int] | None:
    """State and reason of the pause, and how many changes it holds back."""
    return asyncio.run(_stored(postgres.dsn))


async def _stored(dsn: str) -> tuple[str, str, int] | None:
    connection = await asyncpg.connect(dsn)
    try:
        row = await connection.fetchrow(
            "select state, reason, (select count(*) from activator.ledger"
            " where outcome in ('auth', 'config')) from activator.destination_states"
        )
    finally:
        await connection.close()
    return None if row is None else tuple(row)
