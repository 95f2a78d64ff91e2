"""Erasure in the activator's tables: the ledger forgets a person once the destinations know."""

import asyncio
from collections.abc import Iterator
from typing import Any

import asyncpg
import msgspec
import pytest

from schemas.records import Identifier, MembershipChanged, ProfileUpdated
from services.activator.erasing import Removal
from services.activator.views import Views
from tests.integration.conftest import PostgresAddress
from tests.unit.activator.builders import AT
from tests.unit.activator.test_router import membership

EMAIL = "ada@shop.example"
REMOVAL = Removal("r-1", "ads", "vip", "p1", 2)
ENTERED = """
insert into activator.ledger (destination_id, audience_id, profile_id, version, member, operation,
    idempotency_key, outcome, payload, touched, sent_identifiers, updated_at)
values ('ads', 'vip', $1, 1, true, 'add_member', 'k', $2, $3, true,
    '{"emails":["ada@shop.example"]}', now())
"""


class Database:
    def __init__(self, dsn: str) -> None:
        self._dsn = dsn

    def run(self, query: str, *arguments: Any) -> list[Any]:
        async def fetch() -> list[Any]:
            connection = await asyncpg.connect(self._dsn)
            try:
                found: list[Any] = await connection.fetch(query, *arguments)
                return found
            finally:
                await connection.close()

        with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
            return runner.run(fetch())

    def value(self, query: str) -> Any:
        return self.run(query)[0][0]

    def names_ada(self) -> bool:
        """Whether any row of any table of the activator holds her address."""
        tables = self.run("select tablename from pg_tables where schemaname = 'activator'")
        return any(
            self.run(f"select 1 from activator.{name} t where t::text like $1", f"%{EMAIL}%")
            for (name,) in tables
        )

    def outcome(self, outcome: str | None, version: int) -> None:
        self.run(
            "update activator.ledger set outcome = $1, version = $2 where profile_id = 'p1'",
            outcome,
            version,
        )


@pytest.fixture
def views(postgres: PostgresAddress) -> Iterator[Views]:
    Database(postgres.dsn).run("drop schema if exists activator cascade")
    with Views(postgres.dsn) as views:
        yield views


@pytest.fixture
def database(views: Views, postgres: PostgresAddress) -> Database:
    """Ada is in the audience `vip`; the destination has been told."""
    found = Database(postgres.dsn)
    views.write([profile()], [membership()])
    found.run(ENTERED, "p1", "delivered", None)
    assert found.names_ada()
    return found


def profile(*, erased: bool = False) -> ProfileUpdated:
    identifiers = () if erased else (Identifier("email", EMAIL),)
    return ProfileUpdated(
        profile_id="p1",
        version=2 if erased else 1,
        updated_at=AT,
        identifiers=identifiers,
        erased=erased,
    )


def left() -> MembershipChanged:
    return msgspec.structs.replace(membership(member=False, sequence=2), cause="erasure")


def status(database: Database) -> list[tuple[str, str | None]]:
    return [tuple(row) for row in database.run("select status, reason from activator.removals")]


def test_the_ledger_keeps_what_a_removal_needs_until_it_was_delivered(
    views: Views, database: Database
) -> None:
    views.write([profile(erased=True)], [left()], [REMOVAL])
    assert not views.settle(["ads"])
    database.outcome("retry", 2)
    assert not views.settle(["ads"])
    assert (database.names_ada(), status(database)) == (True, [("RUNNING", None)])
    database.outcome("delivered", 2)
    assert views.settle(["ads"])
    assert (database.names_ada(), status(database)) == (False, [("FINISHED", None)])
    assert database.value("select count(*) from activator.profiles") == 0
    assert database.value("select count(*) from activator.memberships") == 0


def test_a_removal_in_a_job_is_done_when_the_job_has_ended(
    views: Views, database: Database
) -> None:
    views.write([profile(erased=True)], [left()], [REMOVAL])
    database.outcome("accepted", 2)
    database.run("insert into activator.jobs values ('ads', 'j1', 'remove', 'a', now(), 0, now())")
    database.run(
        "insert into activator.job_items values"
        " ('ads', 'j1', 0, 'p1', 1, true, '', 'ada@shop.example')"
    )
    database.run("insert into activator.vendor_ids values ('ads', 'p1', 'ada@shop.example')")
    assert not views.settle(["ads"])
    assert status(database) == [("RUNNING", None)]
    database.run("delete from activator.jobs")
    assert views.settle(["ads"])
    assert (database.names_ada(), status(database)) == (False, [("FINISHED", None)])


def test_a_removal_that_fails_for_good_says_so(views: Views, database: Database) -> None:
    views.write([profile(erased=True)], [left()], [REMOVAL])
    database.run("update activator.ledger set outcome = 'permanent', reason = 'gone', version = 2")
    assert views.settle(["ads"])
    assert (database.names_ada(), status(database)) == (False, [("FAILED", "gone")])


def test_a_destination_that_is_no_longer_in_force_is_not_waited_for(
    views: Views, database: Database
) -> None:
    views.write([profile(erased=True)], [left()], [REMOVAL])
    assert views.settle([])
    assert status(database) == [("NOT_SUPPORTED", "not_in_force")]
    assert not database.names_ada()


def test_what_waits_is_not_sent_when_the_erasure_is_ours_alone(
    views: Views, database: Database
) -> None:
    database.run(
        "update activator.ledger set outcome = 'retry', payload = 'ada@shop.example',"
        " next_attempt_at = now()"
    )
    views.write([profile(erased=True)], [left()])
    assert views.settle(["ads"])
    assert not database.names_ada()
    (row,) = database.run("select outcome, reason, next_attempt_at from activator.ledger")
    assert tuple(row) == ("skipped", "erased", None)


def test_a_call_under_way_comes_to_its_end_first(views: Views, database: Database) -> None:
    database.run("update activator.ledger set outcome = null, payload = 'ada@shop.example'")
    views.write([profile(erased=True)], [left()])
    assert not views.settle(["ads"])
    assert database.names_ada()


def test_exits_that_the_router_has_not_read_yet_are_waited_for(
    views: Views, database: Database
) -> None:
    """Memberships and profiles come in two topics."""
    views.write([profile(erased=True)], [])
    assert not views.settle(["ads"])
    assert database.names_ada()
    views.write([], [left()], [REMOVAL])
    database.outcome("delivered", 2)
    assert views.settle(["ads"])
    assert not database.names_ada()


def test_whom_the_profile_absorbed_is_forgotten_with_it(views: Views, database: Database) -> None:
    folded = [
        ProfileUpdated(profile_id=loser, version=1, updated_at=AT, merged_into=winner)
        for loser, winner in (("p3", "p2"), ("p2", "p1"))
    ]
    views.write(folded, [])
    database.run(ENTERED, "p3", "delivered", None)
    views.write([profile(erased=True)], [left()])
    assert views.settle(["ads"])
    assert not database.names_ada()
    assert database.value("select count(*) from activator.profiles") == 0


def test_a_repeat_of_the_batch_changes_nothing(views: Views, database: Database) -> None:
    for _ in range(2):
        views.write([profile(), profile(erased=True)], [membership(), left()], [REMOVAL])
    database.outcome("delivered", 2)
    assert views.settle(["ads"])
    assert database.value("select count(*) from activator.removals") == 1
    assert not database.names_ada()
