"""What an operator does about a destination, against a running sender: every command, in a row."""

import asyncio
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import asyncpg
import pytest

from deploy.local.ports import free_port
from schemas.codec import encode
from schemas.topics import DEAD_LETTERS, DEFINITIONS, activations
from services.control.cli import run
from tests.integration.activator_house import (
    SECRET,
    Processes,
    Receiver,
    define,
    publish,
    receiving,
    wait_until,
)
from tests.integration.conftest import KafkaAddress, PostgresAddress
from tests.integration.topics import recreate_topics
from tests.unit.activator.builders import activation

PARTITIONS = 2
Said = Callable[..., tuple[int, str]]


@pytest.fixture
def said(
    kafka: KafkaAddress,
    postgres: PostgresAddress,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Said:
    """Runs a command; its exit code and all that it printed."""
    monkeypatch.setenv("AFFLUX_KAFKA_BOOTSTRAP", kafka.bootstrap)
    monkeypatch.setenv("AFFLUX_POSTGRES_DSN", postgres.dsn)
    monkeypatch.setenv("ADS_SECRET", SECRET)
    monkeypatch.setenv("COLUMNS", "200")

    def command(*words: str) -> tuple[int, str]:
        capsys.readouterr()
        code = run(words)
        printed = "".join(capsys.readouterr())
        assert SECRET not in printed
        assert "jane@example.com" not in printed
        return code, printed

    return command


def test_what_an_operator_can_do(
    kafka: KafkaAddress,
    postgres: PostgresAddress,
    processes: Processes,
    said: Said,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    recreate_topics(kafka.bootstrap, (DEFINITIONS, DEAD_LETTERS, activations("shop")), PARTITIONS)
    with receiving() as receiver:
        define(kafka.bootstrap, receiver, id="shop")
        port = free_port()
        monkeypatch.setenv("AFFLUX_STATUS_URLS", f"http://127.0.0.1:{port}")
        processes.start(
            "sender", "shop", AFFLUX_HEALTH_PORT=str(port), AFFLUX_RETRY_DELAYS_S="[0.05]"
        )
        _a_pause_is_shown_and_ended(kafka, receiver, said)
        _what_was_given_up_is_replayed_or_discarded(kafka, receiver, said)
        _drift_is_shown_and_mended(postgres, receiver, said)
        _a_destination_is_tried(said)
        _requests_go_to_a_file(kafka, receiver, tmp_path / "requests.jsonl")


def _send(kafka: KafkaAddress, profile_id: str) -> None:
    publish(
        kafka.bootstrap,
        activations("shop"),
        [(profile_id, encode(activation(profile_id)))],
        PARTITIONS,
    )


def _a_pause_is_shown_and_ended(kafka: KafkaAddress, receiver: Receiver, said: Said) -> None:
    receiver.refusals = [410]
    _send(kafka, "p0")
    wait_until(lambda: "misconfigured: gone, since" in said("status")[1], "the pause")
    wait_until(
        lambda: "│ 1 " in said("status")[1].split("misconfigured")[1], "the change that waits"
    )
    assert receiver.calls == []
    assert said("resume", "shop") == (0, "shop goes on\n")
    wait_until(lambda: receiver.members() == {"p0"}, "what was kept")
    wait_until(lambda: " working " in said("status")[1], "the end of the pause")
    assert said("resume", "shop") == (0, "shop is not paused\n")
    code, printed = said("resume", "nowhere")
    assert (code, printed) == (2, "`nowhere` is not in force; there are: shop\n")


def _what_was_given_up_is_replayed_or_discarded(
    kafka: KafkaAddress, receiver: Receiver, said: Said
) -> None:
    receiver.refusals = [500, 500]
    _send(kafka, "p1")
    wait_until(lambda: said("dead-letters", "show", "--source", "shop")[0] == 0, "the letter")
    assert "retries_exhausted" in said("dead-letters", "list", "--source", "shop")[1]
    assert said("dead-letters", "replay", "--until", "2026-01-01")[0] == 1
    since = ("--destination", "shop", "--since", "2026-01-15T09:00:00Z")
    which = "say which: with --destination, --reason, --since or --until\n"
    assert said("dead-letters", "discard") == (2, which)
    assert said("dead-letters", "replay", *since) == (0, "shop: 1 of 1 sent again\n")
    wait_until(lambda: receiver.members() == {"p0", "p1"}, "the second try")
    receiver.refusals = [500, 500]
    _send(kafka, "p2")
    wait_until(lambda: said("dead-letters", "list")[1].count("retries_ex") == 2, "the other")
    assert said("dead-letters", "discard", *since) == (0, "shop: 1 of 2 discarded\n")
    assert said("dead-letters", "replay", *since) == (0, "shop: 0 of 2 sent again\n")


def _drift_is_shown_and_mended(postgres: PostgresAddress, receiver: Receiver, said: Said) -> None:
    asyncio.run(_are_known(postgres.dsn, members=("p0", "p1", "p3"), others=("p2",)))
    code, printed = said("reconcile", "shop", "--dry-run", "--json")
    (drift,) = json.loads(printed)
    assert (code, drift["members"], drift["missing"], drift["extra"]) == (1, 3, ["p3"], ["p2"])
    assert "1 would be added and 1 removed" in said("reconcile", "shop", "--dry-run")[1]
    assert receiver.members() == {"p0", "p1"}
    assert said("reconcile", "shop")[0] == 1
    wait_until(lambda: receiver.members() == {"p0", "p1", "p3"}, "the missing one")
    wait_until(lambda: said("reconcile", "shop", "--dry-run")[0] == 0, "no difference")
    before = len(receiver.calls)
    assert "all members are sent again" in said("reconcile", "shop", "--full")[1]
    wait_until(lambda: len(receiver.calls) == before + 3, "everybody once more")


async def _are_known(dsn: str, *, members: Sequence[str], others: Sequence[str]) -> None:
    """What the router would have written; the others were given up, so they may be there."""
    connection = await asyncpg.connect(dsn)
    for profile_id in (*members, *others):
        await connection.execute(
            "insert into activator.profiles values ($1, 1, now(), '[]', '{}', '{}', '{vip}', null)",
            profile_id,
        )
    for profile_id in members:
        await connection.execute(
            "insert into activator.memberships values"
            " ('vip', $1, true, 1, 1, now(), now(), 'event', 'm1')",
            profile_id,
        )
    await connection.close()


def _a_destination_is_tried(said: Said) -> None:
    for words in (("--offline",), ()):
        code, printed = said("destination", "test", "shop", *words)
        assert code == 0
        assert "its secrets are there" in printed
        assert "audience.member_added" in printed


def _requests_go_to_a_file(kafka: KafkaAddress, receiver: Receiver, path: Path) -> None:
    before = len(receiver.calls)
    define(kafka.bootstrap, receiver, id="shop", version=2, settings={"dry_run": str(path)})
    version = 1

    def is_written() -> bool:
        nonlocal version
        version += 1
        record = encode(activation("p9", version=version))
        publish(kafka.bootstrap, activations("shop"), [("p9", record)], PARTITIONS)
        return path.exists()

    wait_until(is_written, "a request in the file")
    (first, *_) = path.read_text().splitlines()
    assert json.loads(first)["headers"]["webhook-signature"] == "…"
    assert json.loads(json.loads(first)["body"])["data"]["profile_id"] == "p9"
    told = {body["data"]["profile_id"] for _, body in receiver.calls[before:]}
    assert told <= {"p9"}
