"""The setup check of PostgreSQL: every failure has its name and its remedy (warehouse-cdc §4.1)."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import asyncpg
import pytest

from deploy.local.postgres import postgres_server as start_postgres
from services.warehouse.checking import check
from services.warehouse.domain.asked import Setup
from services.warehouse.domain.source import PostgresSource
from services.warehouse.postgres.connection import open_session
from tests.integration.customer_database import ROLE, execute, fetch
from tests.integration.postgres_standby import following
from tests.integration.test_warehouse_postgres import (
    BOTH_VERSIONS,
    CUSTOMERS,
    Clinic,
    clinic,
    server,
)

__all__ = ["clinic", "server"]

SOURCE = PostgresSource(id="crm", type="postgres", dsn="env:CRM_DSN", publication="afflux")
TABLE = "crm.customers"
NO_KEY = f"alter table {TABLE} drop constraint customers_pkey"
FAILURES: dict[str, tuple[Sequence[str], set[str]]] = {
    "no publication": (["drop publication afflux"], {"publication_missing"}),
    "a table that is not in it": (
        ["create table crm.other (id int)", "alter publication afflux set table crm.other"],
        {"table_not_published"},
    ),
    "no right to read": ([f"revoke select on {TABLE} from {ROLE}"], {"select_missing"}),
    "no right to replicate": ([f"alter role {ROLE} noreplication"], {"replication_missing"}),
    "no way to the table": ([f"drop table {TABLE}"], {"table_missing", "table_not_published"}),
    "no key": ([NO_KEY], {"no_replica_identity"}),
    "no identity": ([f"alter table {TABLE} replica identity nothing"], {"no_replica_identity"}),
    "a key of no order": (
        [
            NO_KEY,
            f"alter table {TABLE} alter id type jsonb using to_jsonb(id)",
            f"alter table {TABLE} replica identity full",
        ],
        {"key_type"},
    ),
    "a filter that the identity does not cover": (
        [f"alter publication afflux set table {TABLE} where (plan = 'gold')"],
        {"row_filter"},
    ),
    "a filter with a list": (
        [f"alter publication afflux set table {TABLE} (id, plan) where (plan = 'gold')"],
        {"row_filter"},
    ),
    "a list that the identity does not cover": (
        [f"alter publication afflux set table {TABLE} (plan, visits)"],
        {"identity_not_published"},
    ),
    "nothing": ([], set()),
    "a filter by the key": ([f"alter publication afflux set table {TABLE} where (id > 5)"], set()),
    "a filter where the whole row is the identity": (
        [
            f"alter table {TABLE} replica identity full",
            f"alter publication afflux set table {TABLE} where (plan = 'gold')",
        ],
        set(),
    ),
    "an index as identity": (
        [
            NO_KEY,
            f"create unique index by_id on {TABLE} (id)",
            f"alter table {TABLE} alter id set not null",
            f"alter table {TABLE} replica identity using index by_id",
        ],
        set(),
    ),
}
WRITABLE = {name: case for name, case in FAILURES.items() if name != "no way to the table"}
BREAKS_WRITES = {"no_replica_identity", "row_filter", "identity_not_published"}


@pytest.fixture(autouse=True)
def _reader(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRM_DSN", clinic.reader)


async def found(source: PostgresSource = SOURCE) -> Sequence[Setup]:
    said = (await check(source, [CUSTOMERS])).found
    assert said is not None
    return said


def fatal(problems: Sequence[Setup]) -> set[str]:
    return {problem.reason for problem in problems if problem.fatal}


@BOTH_VERSIONS
@pytest.mark.parametrize(("statements", "reasons"), FAILURES.values(), ids=FAILURES)
async def test_s4_1_each_failure_is_named_with_its_remedy(
    clinic: Clinic, statements: Sequence[str], reasons: set[str]
) -> None:
    await execute(clinic.dsn, *statements)
    problems = await found()
    assert fatal(problems) == reasons
    assert all(problem.sentence and problem.remedy for problem in problems)


@pytest.mark.parametrize(("statements", "reasons"), WRITABLE.values(), ids=WRITABLE)
async def test_s4_2_what_makes_the_customers_writes_fail_is_told(
    clinic: Clinic, statements: Sequence[str], reasons: set[str]
) -> None:
    """And what is not told lets them through."""
    await execute(clinic.dsn, f"insert into {TABLE} values (9, 'gold'), (10, 'gold')", *statements)
    if reasons & BREAKS_WRITES:
        with pytest.raises(asyncpg.PostgresError, match='cannot update table "customers"'):
            await execute(clinic.dsn, f"update {TABLE} set visits = 1")
        return
    await execute(clinic.dsn, f"update {TABLE} set visits = 1", f"delete from {TABLE}")


async def test_s4_2_what_breaks_writes_is_told_before_the_statement_that_publishes(
    clinic: Clinic,
) -> None:
    await execute(clinic.dsn, "drop publication afflux", NO_KEY)
    reasons = [problem.reason for problem in await found() if problem.fatal]
    assert reasons == ["no_replica_identity", "publication_missing"]


async def test_s4_1_a_source_that_says_full_needs_tables_that_are(clinic: Clinic) -> None:
    full = SOURCE.model_copy(update={"replica_identity": "full"})
    assert fatal(await found(full)) == {"not_full"}
    await execute(clinic.dsn, f"alter table {TABLE} replica identity full")
    assert fatal(await found(full)) == set()


@BOTH_VERSIONS
async def test_s4_1_a_slot_without_a_limit_is_a_warning(clinic: Clinic) -> None:
    assert "wal_unlimited" in {problem.reason for problem in await found()}
    limit = "alter system set max_slot_wal_keep_size = '1GB'"
    await execute(clinic.dsn, limit, "select pg_reload_conf()")
    try:
        assert "wal_unlimited" not in {problem.reason for problem in await found()}
    finally:
        reset = "alter system reset max_slot_wal_keep_size"
        await execute(clinic.dsn, reset, "select pg_reload_conf()")


async def test_s4_1_wal_level_must_be_logical(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="afflux-") as name,
        start_postgres(
            Path(name) / "customer", durable=False, settings={"wal_level": "replica"}
        ) as other,
    ):
        monkeypatch.setenv("CRM_DSN", other.dsn)
        assert fatal(await found()) == {"wal_level", "table_missing", "publication_missing"}


async def test_s4_1_a_server_that_is_too_old_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """No server older than 14 is at hand, so the limit is moved instead."""
    monkeypatch.setattr("services.warehouse.postgres.checks.OLDEST", 990_000)
    assert fatal(await found()) == {"server_too_old"}


async def test_s4_1_what_replication_lets_the_role_read_is_said_and_so(clinic: Clinic) -> None:
    """Measured: without SELECT the log can be read."""
    asked = (await check(SOURCE, [CUSTOMERS])).asked
    (reason,) = [each.reason for each in asked if " replication " in each.statement]
    assert "every published table, whatever it may SELECT" in reason
    await execute(
        clinic.dsn,
        f"revoke select on {TABLE} from {ROLE}",
        "select pg_create_logical_replication_slot('peek', 'pgoutput')",
        f"insert into {TABLE} values (1, 'confidential')",
        "checkpoint",  # what is not flushed cannot be peeked at
    )
    peek = (
        "select data from pg_logical_slot_peek_binary_changes('peek', null, null, $1, $2, $3, $4)"
    )
    options = ("proto_version", "1", "publication_names", "afflux")
    rows = await fetch(clinic.reader, peek, *options)
    assert any(b"confidential" in row[0] for row in rows)


@BOTH_VERSIONS
async def test_s4_7_before_version_17_a_failover_costs_a_snapshot_and_that_is_said(
    clinic: Clinic,
) -> None:
    (version,) = (await fetch(clinic.dsn, "show server_version_num"))[0]
    said = "failover_costs_snapshot"
    assert said not in {problem.reason for problem in await found()}
    async with following(clinic.dsn):
        reasons = {problem.reason for problem in await found()}
    assert (said in reasons) == (int(version) < 170_000)


@BOTH_VERSIONS
async def test_s1_a_session_is_read_only_and_no_statement_takes_for_ever(clinic: Clinic) -> None:
    """§4.4: sixty seconds at most."""
    session = await open_session("env:CRM_DSN")
    try:
        assert await session.fetchval("show transaction_read_only") == "on"
        assert await session.fetchval("show statement_timeout") == "1min"
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await session.execute("create temporary table t (n int)")
    finally:
        await session.close()
