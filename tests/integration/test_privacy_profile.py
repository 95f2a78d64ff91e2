"""identity.md §5: looking a profile up by any identifier, on a real graph."""

import asyncio
import json

import asyncpg
import pytest

from schemas.records import ErasureRequested, Identifier
from services.activator.migrations import STEPS as ACTIVATOR
from services.control.cli import run
from services.identity.cache import Cache
from services.identity.domain.batch import Incoming
from services.identity.domain.extract import Carried
from services.identity.domain.ids import profile_id
from services.identity.domain.merge import Limits
from services.identity.handlers import erase, resolve
from services.identity.migrations import STEPS
from services.identity.store import PostgresIdentities
from services.runtime.postgres import connect, migrate
from tests.integration.conftest import PostgresAddress
from tests.unit.identity.people import event, identifier, limits

OLDEST = profile_id(identifier("a1"))
FOLDED = profile_id(identifier("u1"))
HISTORY = [
    event("a1", at=1_000, message="m1"),
    event("u1 e1", at=2_000, message="m2"),
    event("u1 a1", at=3_000, message="m3"),
    event("u2 a1", at=4_000, message="m4"),
    event("a1", at=7_300_000, message="m5"),
]
ERASURE = ErasureRequested(
    erasure_id="r/0",
    regulation_id="r",
    subjects=(Identifier("user_id", "u1"),),
    at=9_000_000,
    destinations=False,
)


async def play(dsn: str, *events: Incoming, within: Limits | None = None) -> None:
    pool = await connect(dsn, size=1)
    await pool.execute("drop schema if exists identity cascade")
    await pool.execute("drop schema if exists activator cascade")
    await migrate(pool, "identity", STEPS)
    await resolve(events, PostgresIdentities(pool, 0), Cache(100), within or limits())
    await pool.close()


async def execute(dsn: str, statement: str) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.execute(statement)
    await connection.close()


async def in_segment(dsn: str) -> None:
    pool = await connect(dsn, size=1)
    await migrate(pool, "activator", ACTIVATOR)
    await pool.close()
    await execute(
        dsn,
        "insert into activator.memberships values"
        f" ('vip', '{OLDEST}', true, 1, 1, now(), now(), 'event', 'm1'),"
        f" ('old', '{OLDEST}', false, 2, 1, now(), now(), 'event', 'm1')",
    )


@pytest.fixture
def dsn(postgres: PostgresAddress, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("AFFLUX_POSTGRES_DSN", postgres.dsn)
    asyncio.run(play(postgres.dsn, *HISTORY))
    return postgres.dsn


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert run(["profile", *arguments]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("asked", ["u1", "user_id:u1", "e1", "a1", OLDEST])
def test_s5_by_any_identifier_the_whole_profile_is_found(
    dsn: str, capsys: pytest.CaptureFixture[str], asked: str
) -> None:
    card = json.loads(shown(capsys, asked, "--json"))
    assert card["profile_id"] == OLDEST
    assert [
        (i["value"], i["first_seen"], i["last_seen"], i["message_id"]) for i in card["identifiers"]
    ] == [("a1", 1_000, 7_300_000, "m1"), ("e1", 2_000, 2_000, "m2"), ("u1", 2_000, 2_000, "m2")]
    assert card["folded"] == [{"profile_id": FOLDED, "at": 3_000, "cause": "m3"}]
    assert (card["refused"], card["segments"]) == ([], None)


def test_s5_a_refusal_is_shown_where_it_was_refused(
    dsn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    card = json.loads(shown(capsys, "u2", "--json"))
    (refused,) = card["refused"]
    assert (refused["value"], refused["reason"], refused["message_id"]) == ("a1", "limit", "m4")


def test_s5_what_a_folded_profile_brought_keeps_its_own_story(
    dsn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    asyncio.run(
        play(
            dsn,
            event("e8", at=100, message="m1"),
            event("e9", at=500, message="m2"),
            event("u1 a1", at=1_000, message="m3"),
            event("u2 a1", at=2_000, message="m4"),
            event("u2 e9", at=3_000, message="m5"),
            event("u2 e8", at=4_000, message="m6"),
        )
    )
    card = json.loads(shown(capsys, "u2", "--json"))
    assert card["profile_id"] == profile_id(identifier("e8"))
    assert [(i["value"], i["first_seen"], i["message_id"]) for i in card["identifiers"]] == [
        ("e8", 100, "m1"),
        ("e9", 500, "m2"),
        ("u2", 2_000, "m4"),
    ]
    assert [(f["profile_id"], f["at"], f["cause"]) for f in card["folded"]] == [
        (profile_id(identifier("u2")), 3_000, "m5"),
        (profile_id(identifier("e9")), 4_000, "m6"),
    ]
    assert [(r["value"], r["at"], r["message_id"]) for r in card["refused"]] == [
        ("a1", 2_000, "m4")
    ]


def test_s5_the_mark_of_an_alias_is_neither_shown_nor_found(
    dsn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    asyncio.run(play(dsn, event("u1", at=1_000, message="m1", previous="x1")))
    card = json.loads(shown(capsys, "x1", "--json"))
    assert [(i["type"], i["value"]) for i in card["identifiers"]] == [
        ("anonymous_id", "x1"),
        ("user_id", "u1"),
    ]
    assert run(["profile", "alias:x1"]) == 2
    assert "no profile has this identifier" in capsys.readouterr().err


def test_s5_an_identifier_of_two_types_is_asked_for_by_its_type(
    dsn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    stated = event("u1", at=1_000, message="m1", previous="x1")
    other = Incoming(Carried((Identifier("user_id", "x1"), identifier("e2"))), "web", "m2", 500)
    full = event("e2 p2 a2", at=400, message="m0")
    asyncio.run(play(dsn, full, stated, other, within=limits(max_identifiers=4)))
    assert run(["profile", "x1"]) == 2
    assert "write anonymous_id:… or user_id:…" in capsys.readouterr().err
    for kind, creator in (("anonymous_id", "u1"), ("user_id", "e2")):
        card = json.loads(shown(capsys, f"{kind}:x1", "--json"))
        assert card["profile_id"] == profile_id(identifier(creator))


def test_s3_a_merged_id_is_answered_with_its_survivor(
    dsn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    asyncio.run(in_segment(dsn))
    text = shown(capsys, FOLDED)
    assert text.startswith(f"{FOLDED} was folded into it:\nprofile {OLDEST}")
    assert "segments: vip" in text
    assert all(word in text for word in ("user_id", "web m2", "m3", "last seen (to the hour)"))


def test_s5_of_an_erased_profile_nothing_but_that_is_left(
    dsn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async def forget() -> None:
        pool = await connect(dsn, size=1)
        await erase(ERASURE, PostgresIdentities(pool, 0), Cache(100))
        await pool.close()

    asyncio.run(forget())
    assert run(["profile", "u1"]) == 2
    capsys.readouterr()
    for known in (OLDEST, FOLDED):
        text = shown(capsys, known)
        assert "erased: what was received until 1970-01-01 02:30:00.000Z is forgotten" in text
        assert not {"u1", "e1", "a1"} & set(text.split())


def test_an_unknown_profile_or_database_is_a_sentence(
    dsn: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(["profile", "p_" + "a" * 26]) == 2
    assert "no such profile" in capsys.readouterr().err
    monkeypatch.setenv("AFFLUX_POSTGRES_DSN", "postgresql://postgres@127.0.0.1:1/none")
    assert run(["profile", "p_" + "a" * 26]) == 2
    assert "AFFLUX_POSTGRES_DSN" in capsys.readouterr().err
