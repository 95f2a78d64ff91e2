"""The platform's set equals ours with real senders, killed by SIGKILL, over the real broker.

One destination of each family: hashed lists, records by the platform's ids, calls in several
steps with tokens, and a plain endpoint. All run at once, against one stub that follows a script of
faults.
"""

import asyncio
import random
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import asyncpg
import msgspec

from schemas.codec import encode
from schemas.topics import DEAD_LETTERS, DEFINITIONS, activations
from services.activator import repair
from services.activator.clock import SystemClock
from services.activator.domain.change import Change
from tests.integration.activator_house import Processes, publish, wait_until
from tests.integration.conftest import KafkaAddress, PostgresAddress
from tests.integration.stub_house import KNOWN_AS
from tests.integration.test_convergence import history, insiders, seeded
from tests.integration.topics import recreate_topics
from tests.stub.server import OAUTH, Stub
from tests.stub.serving import serving
from tests.unit.activator.builders import definition
from tests.unit.activator.examples import SETTINGS

PARTITIONS = 2
FAMILIES = ("meta_custom_audiences", "hubspot", "google_ads_customer_match", "webhook")
DEATHS = 3
FAULTS = (
    "status:500",
    "status:503",
    "status:401",
    "status:403",
    "throttle:1",
    "reset_before_apply",
    "reset_after_send",
    "timeout",
    "timeout_after_send",
    "partial",
    "slow:50",
)
"""One that lets a call hang lasts until the sender is killed."""


@dataclass
class Destination:
    """One destination with its sender and what it is to be told."""

    name: str
    stub: Stub
    processes: Processes
    bootstrap: str
    changes: list[Change]
    sender: subprocess.Popen[bytes] | None = None
    told: int = 0

    @property
    def id(self) -> str:
        return self.name.replace("_", "-")

    def define(self) -> None:
        base = f"{self.stub.url}/{self.name}" + ("/hook" if self.name == "webhook" else "")
        settings: dict[str, Any] = dict(SETTINGS[self.name])
        settings |= {"base_url": base, "allow_private": True, "linger": 0.2}
        if self.name in OAUTH:
            settings["token_url"] = f"{base}/token"
        record = definition(id=self.id, type=self.name, settings=settings)
        publish(self.bootstrap, DEFINITIONS, [(f"destination:{self.id}", encode(record))], 1)

    def tell(self, count: int) -> None:
        """Write so many further changes into its topic."""
        news = self.changes[self.told : self.told + count]
        records = [(each.profile_id, each.raw) for each in news]
        publish(self.bootstrap, activations(self.id), records, PARTITIONS)
        self.told += len(news)

    def start(self) -> None:
        self.sender = self.processes.start(
            "sender", self.id, AFFLUX_RETRY_DELAYS_S=msgspec.json.encode([0.1] * 30).decode()
        )

    def kill(self) -> None:
        assert self.sender is not None
        self.sender.kill()
        self.sender.wait()

    @property
    def calls(self) -> int:
        return len(self.stub.world(self.name).calls)

    @property
    def converged(self) -> bool:
        world = self.stub.world(self.name)
        held = {one for people in list(world.members.values()) for one in list(people)}
        return held == {KNOWN_AS[self.name](number) for number in insiders(self.changes)}


def test_sigkill_of_real_senders_ends_with_the_set_equal_to_the_segment(
    kafka: KafkaAddress, postgres: PostgresAddress, processes: Processes
) -> None:
    dice = seeded()
    with serving() as stub:
        all_of = [
            Destination(name, stub, processes, kafka.bootstrap, _changes(dice)) for name in FAMILIES
        ]
        topics = [activations(each.id) for each in all_of]
        recreate_topics(kafka.bootstrap, (DEFINITIONS, DEAD_LETTERS, *topics), PARTITIONS)
        for each in all_of:
            each.define()
        for _ in range(DEATHS):
            _live_and_die(all_of, dice, postgres)
        stub.faults.clear()
        for each in all_of:
            each.tell(len(each.changes))
            each.start()
        wait_until(lambda: _mended(postgres) and all(e.converged for e in all_of), "equal sets")
        assert {each.name: each.stub.world(each.name).leaks for each in all_of} == {
            name: [] for name in FAMILIES
        }


def _changes(dice: random.Random) -> list[Change]:
    return history(dice, members=True, events=False)


def _live_and_die(
    all_of: list[Destination], dice: random.Random, postgres: PostgresAddress
) -> None:
    """Each sender gets some changes and some faults, makes a few calls, and is killed."""
    goals: Mapping[str, int] = {each.name: each.calls + dice.randint(1, 6) for each in all_of}
    for each in all_of:
        script = [dice.choice(FAULTS) for _ in range(dice.randint(1, 3))]
        each.stub.faults.setdefault(each.name, []).extend(script)
        each.tell(dice.randint(5, 20))
        each.start()
    wait_until(
        lambda: _mended(postgres) and any(e.calls >= goals[e.name] for e in all_of), "some calls"
    )
    for each in all_of:
        each.kill()


def _mended(postgres: PostgresAddress) -> bool:
    """Resume what is paused, and have sent again what was given up, as an operator would."""
    return asyncio.run(_mend(postgres.dsn))


async def _mend(dsn: str) -> bool:
    connection = await asyncpg.connect(dsn)
    try:
        for name in FAMILIES:
            destination_id = name.replace("_", "-")
            await repair.resume(connection, destination_id)
            rows = await connection.fetch(
                "select idempotency_key from activator.ledger"
                " where destination_id = $1 and outcome = 'permanent'",
                destination_id,
            )
            keys = [row["idempotency_key"] for row in rows]
            await repair.replay(connection, destination_id, keys, SystemClock().now())
    except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError):
        return False
    finally:
        await connection.close()
    return True
