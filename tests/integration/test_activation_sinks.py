"""Files, topics and tables of the customer's own: destinations.md §6.2 to §6.4, on real servers."""

import asyncio
import csv
import gzip
import io
import json
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
from confluent_kafka import Consumer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from services.activator.destinations.file import table
from services.activator.domain.outcomes import Failure, Outcome, Response
from services.activator.instance import Instance
from services.activator.ways_out import way_out
from services.runtime.kafka import reader
from tests.integration.conftest import KafkaAddress, PostgresAddress
from tests.unit.activator.builders import change
from tests.unit.activator.building import read, requests
from tests.unit.activator.examples import an_instance, changes


async def sent(of: Instance, *operations: str) -> list[Response | Failure]:
    """The requests for one change of each operation, sent the way that they take."""
    client = way_out(of)
    found = [
        await client.send(request)
        for operation in operations
        for request in requests(of, [changes()[operation]])
    ]
    await client.close()
    return found


ALL = ("add_member", "upsert_profile", "send_event", "remove_member")


def files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


async def test_s6_3_files_are_whole_and_a_repeat_finds_them(tmp_path: Path) -> None:
    of = an_instance("file", {"root": str(tmp_path / "out"), "gzip": True})
    for _ in range(2):
        assert await sent(of, *ALL) == [Response(200, {})] * 4
        files = files_in(tmp_path)
        folders = [str(path.parent.relative_to(tmp_path / "out")) for path in files]
        assert folders == [f"ads/{op}/dt=2026-01-15/hh=09" for op in sorted(ALL)]
    (line,) = gzip.decompress(files[0].read_bytes()).splitlines()
    assert json.loads(line)["profile_id"] == "p_42"


async def test_s6_3_a_table_is_rfc_4180_and_runs_no_formula(tmp_path: Path) -> None:
    of = an_instance("file", {"root": str(tmp_path), "format": "csv"})
    client, said = way_out(of), 'he said "no",\nthen left'
    traits = [{"plan": "=1+1", "said": said}, {"plan": None, "said": "+41", "tags": ["é"]}]
    update = [
        change(f"p_{number}", audience_id=None, profile={"identifiers": [], "traits": each})
        for number, each in enumerate(traits)
    ]
    (request,) = requests(of, update)
    assert await client.send(request) == Response(200, {})
    (file,) = files_in(tmp_path)
    text = file.read_bytes().decode()
    assert text.startswith("change_id,type,profile_id,")
    assert text.count("\r\n") == 3
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [row["profile_id"] for row in rows] == ["p_0", "p_1"]
    told = [json.loads(row["traits"]) for row in rows]
    assert told == traits


def test_s6_3_what_a_spreadsheet_would_run_is_text() -> None:
    written = table([{"a": "=1+1", "b": "+41"}, {"a": "-x", "b": "@y", "c": None}, {"a": "a-b"}])
    assert written.decode() == "a,b,c\r\n'=1+1,'+41,\r\n'-x,'@y,\r\na-b,,\r\n"


async def test_s6_3_what_the_disk_refuses_is_tried_again(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file where the folder should be")
    of = an_instance("file", {"root": str(tmp_path / "out")})
    assert await sent(of, "add_member") == [Failure(Outcome.RETRY, "disk_error")]


@pytest.fixture
def topic(kafka: KafkaAddress) -> Iterator[str]:
    name = f"customer-{uuid.uuid4().hex}"
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    for creation in admin.create_topics([NewTopic(name, 1, 1)]).values():
        creation.result()
    yield name
    for deletion in admin.delete_topics([name]).values():
        deletion.result()


def taken(kafka: KafkaAddress, topic: str, count: int) -> list[Any]:
    consumer = Consumer(reader(kafka.bootstrap) | {"auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    messages: list[Any] = []
    while len(messages) < count:
        message = consumer.poll(20)
        assert message is not None, f"only {len(messages)} of {count} came"
        if message.error() is None:
            messages.append(message)
    consumer.close()
    return messages


async def test_s6_2_records_are_keyed_by_profile_and_say_what_they_are(
    kafka: KafkaAddress, topic: str
) -> None:
    of = an_instance("kafka_topic", {"bootstrap_servers": kafka.bootstrap, "topic": topic})
    assert await sent(of, *ALL) == [Response(200, {})] * 4
    messages = taken(kafka, topic, 4)
    assert [message.key() for message in messages] == [b"p_42"] * 4
    headers = [dict(message.headers()) for message in messages]
    assert [each["cdp-type"].decode() for each in headers] == list(ALL)
    assert [each["cdp-audience-id"] for each in headers] == [b"vip", b"", b"", b"vip"]
    values = [json.loads(message.value()) for message in messages]
    assert [each["change_id"].encode() for each in values] == [h["cdp-change-id"] for h in headers]


async def test_s6_2_tombstones_end_what_a_compacted_topic_keeps(
    kafka: KafkaAddress, topic: str
) -> None:
    given = {"bootstrap_servers": kafka.bootstrap, "topic": topic, "tombstones": True}
    assert await sent(an_instance("kafka_topic", given), "add_member", "remove_member") == [
        Response(200, {}),
        Response(200, {}),
    ]
    added, removed = taken(kafka, topic, 2)
    assert (added.key(), removed.key(), removed.value()) == (b"p_42|vip", b"p_42|vip", None)


async def test_s6_2_a_record_that_no_topic_takes_is_found_and_the_others_go_on(
    kafka: KafkaAddress, topic: str
) -> None:
    of = an_instance("kafka_topic", {"bootstrap_servers": kafka.bootstrap, "topic": topic})
    client = way_out(of)
    long = {"identifiers": [], "traits": {"long": "x" * 1_100_000}, "consent": {}}
    (large,) = requests(of, [change(audience_id=None, profile=long)])
    assert await client.send(large) == Failure(Outcome.SPLIT, "record_too_large")
    (small,) = requests(of, [change()])
    assert await client.send(small) == Response(200, {})
    await client.close()


async def test_s6_2_a_broker_that_is_away_is_tried_again(kafka: KafkaAddress, topic: str) -> None:
    of = an_instance("kafka_topic", {"bootstrap_servers": "127.0.0.1:9", "topic": topic})
    assert await sent(of, "add_member") == [Failure(Outcome.RETRY, "broker_error")]


@pytest.fixture
async def database(postgres: PostgresAddress) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(postgres.dsn)
    await connection.execute(
        "drop table if exists cdp_memberships, cdp_profiles, cdp_events; drop schema if exists cdp"
    )
    yield connection
    await connection.close()


def to(postgres: PostgresAddress, **more: Any) -> Instance:
    return an_instance("postgres", {"dsn": postgres.dsn, "allow_private": True} | more)


async def test_s6_4_no_row_goes_back_and_a_repeat_changes_nothing(
    postgres: PostgresAddress, database: Any
) -> None:
    of = to(postgres)
    for _ in range(2):
        assert await sent(of, *ALL) == [Response(200, {})] * 4
        rows = await database.fetch(
            "select audience_id, profile_id, member, version from cdp_memberships"
        )
        assert [tuple(row) for row in rows] == [("vip", "p_42", False, 18)]
        assert await database.fetchval("select count(*) from cdp_events") == 1
        traits = json.loads(await database.fetchval("select traits from cdp_profiles"))
        assert traits == {"name": "Zoë O'Connor", "plan": "pro", "old": None}
    assert await sent(of, "add_member") == [Response(200, {})]
    assert await database.fetchval("select version from cdp_memberships") == 18


async def test_s6_4_calls_that_come_together_make_the_tables_once(
    postgres: PostgresAddress, database: Any
) -> None:
    client = way_out(to(postgres))
    made = requests(to(postgres), [change(f"p_{number}") for number in range(8)])
    every = [request for one in made for request in [one] * 4]
    answers = await asyncio.gather(*(client.send(request) for request in every))
    await client.close()
    assert answers == [Response(200, {})] * len(every)


async def test_s6_2_calls_that_come_together_have_one_producer(
    kafka: KafkaAddress, topic: str
) -> None:
    of = an_instance("kafka_topic", {"bootstrap_servers": kafka.bootstrap, "topic": topic})
    client = way_out(of)
    (request,) = requests(of, [change()])
    answers = await asyncio.gather(*(client.send(request) for _ in range(4)))
    await client.close()
    assert answers == [Response(200, {})] * 4
    assert len(taken(kafka, topic, 4)) == 4


async def test_s6_4_an_exit_may_delete_its_row(postgres: PostgresAddress, database: Any) -> None:
    of = to(postgres, hard_delete=True)
    assert await sent(of, "add_member", "remove_member") == [Response(200, {})] * 2
    assert await database.fetchval("select count(*) from cdp_memberships") == 0


async def test_s6_4_a_user_who_may_write_the_tables_need_not_be_able_to_make_them(
    postgres: PostgresAddress, database: Any
) -> None:
    assert await sent(to(postgres), "add_member") == [Response(200, {})]
    user = f"writer_{uuid.uuid4().hex}"
    await database.execute(f"""
        create role {user} login;
        revoke create on schema public from public;
        grant select, insert, update on cdp_memberships, cdp_profiles, cdp_events to {user}""")
    place = urlsplit(postgres.dsn)
    own = place._replace(netloc=f"{user}@{place.hostname}:{place.port}").geturl()
    try:
        assert await sent(to(postgres, dsn=own), "remove_member") == [Response(200, {})]
        assert await database.fetchval("select member from cdp_memberships") is False
    finally:
        await database.execute(f"drop owned by {user}; drop role {user}")


@pytest.mark.parametrize(
    ("before", "more", "outcome"),
    [
        ("select 1", {"schema_name": "cdp"}, Outcome.CONFIG),
        ("create table cdp_memberships (audience_id text)", {}, Outcome.CONFIG),
        (
            "create table cdp_memberships (audience_id text, profile_id text, member bool,"
            " version bigint, changed_at timestamptz)",
            {},
            Outcome.CONFIG,
        ),
        ("select 1", {"dsn": "postgresql://postgres@127.0.0.1:9/db"}, Outcome.RETRY),
        ("select 1", {"dsn": "nonsense://"}, Outcome.CONFIG),
        ("select 1", {"allow_private": False}, Outcome.CONFIG),
    ],
)
async def test_s6_4_what_is_wrong_with_the_database_is_no_fault_of_a_change(
    postgres: PostgresAddress, database: Any, before: str, more: Mapping[str, Any], outcome: Outcome
) -> None:
    await database.execute(before)
    (answer,) = await sent(to(postgres, **more), "add_member")
    if isinstance(answer, Response):
        assert read("postgres", answer, action="add_member", count=1) == [outcome]
    else:
        assert answer.outcome is outcome


async def test_s6_4_a_sender_gives_its_connections_back(
    postgres: PostgresAddress, database: Any
) -> None:
    client = way_out(to(postgres, schema_name="cdp"))
    (request,) = requests(to(postgres, schema_name="cdp"), [change()])
    for _ in range(5):
        await client.send(request)
    ours = "select count(*) from pg_stat_activity where datname = current_database()"
    assert await database.fetchval(ours) == 1
    await client.close()
