"""§17: which records on the disk are of somebody erased."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from schemas.codec import encode
from schemas.records import DeadLetter, Event, SubjectType, Suppression, Tick
from services.ingest.domain.suppression import Digests
from services.ingest.outgoing import Commit, Entry, Outgoing
from services.ingest.spool_erasure import SpoolErasure, of_the_erased, of_the_suppressed
from tests.unit.ingest.test_spool import open_spool

SECRET = "a secret of sixteen"
DIGESTS = Digests(SECRET.encode())


def erasure(
    subject: str, *, kind: SubjectType = "USER_ID", source: str | None = None, until: int = 100
) -> Suppression:
    return Suppression(
        source_id=source,
        subject_type=kind,
        key_id=DIGESTS.key_id,
        digest=DIGESTS.of(kind, subject),
        until=until,
    )


MATCHES = of_the_erased(
    [
        erasure("u1"),
        erasure("a1", kind="ANONYMOUS_ID"),
        erasure("u2", source="app"),
    ],
    DIGESTS,
)


def event(at: int = 100, type_: Any = "track", **payload: str) -> Outgoing:
    record = Event(
        source_id="web",
        message_id="m1",
        type=type_,
        timestamp=1,
        received_at=at,
        payload=json.dumps(payload).encode(),
    )
    return Outgoing("events", b"k", encode(record))


def letter(raw: str, at: int = 100, source: str = "web") -> Outgoing:
    record = DeadLetter(
        code="c",
        message="m",
        stage="ingest",
        source_id=source,
        received_at=at,
        raw=raw.encode(),
    )
    return Outgoing("letters", b"k", encode(record))


@pytest.mark.parametrize(
    ("outgoing", "gone"),
    [
        (event(userId="u1"), True),
        (event(userId="u1", at=101), False),
        (event(userId="u3", anonymousId="a1"), True),
        (event(userId="a1"), False),
        (event(type_="alias", userId="u3", previousId="u1"), True),
        (event(userId="u2"), False),
        (event(userId="u3", referrer="u1"), False),
        (letter('{"userId": "u1"}'), True),
        (letter('{"userId": "u1"}', at=101), False),
        (letter('{"broken": "u1'), True),
        (letter('{"userId": "u2"}', source="app"), True),
        (letter('{"userId": "u2"}'), False),
        (letter('{"userId": "u3"}'), False),
        (Outgoing("events", b"k", b"nonsense"), False),
        (Outgoing("events", b"k", encode(Tick(partition=0))), False),
    ],
)
def test_17_only_what_was_received_from_them_before_goes(outgoing: Outgoing, gone: bool) -> None:
    assert MATCHES(outgoing) is gone


async def test_17_what_waits_on_the_disk_is_blanked_when_the_log_says_so(tmp_path: Path) -> None:
    """The log is followed by another thread."""
    async with open_spool(tmp_path) as spool:
        commit = Commit(2)
        spool.put([Entry(event(userId=user), commit) for user in ("u1", "u3")])
        await commit.done
        await asyncio.to_thread(SpoolErasure(spool, SecretStr(SECRET)).erase, [erasure("u1")])
        async with asyncio.timeout(10):
            while (await spool.read())[0].outgoing is not None:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        _, left = [each.outgoing for each in await spool.read()]
    assert left is not None
    assert left.value == event(userId="u3").value
    assert not _names_u1(tmp_path)


async def test_12_what_was_taken_of_people_not_known_to_be_suppressed_does_not_leave_the_spool(
    tmp_path: Path,
) -> None:
    async with open_spool(tmp_path) as spool:
        erasure_of = SpoolErasure(spool, SecretStr(SECRET))
        now = time.time_ns() // 1_000_000 + 1000
        commit = Commit(3)
        sent = [event(userId="u1"), event(at=now, userId="u1"), event(at=now, userId="u3")]
        spool.put([Entry(each, commit) for each in sent])
        await commit.done
        suppressed = {("", DIGESTS.of("USER_ID", "u1")), ("app", DIGESTS.of("USER_ID", "u3"))}
        await asyncio.to_thread(erasure_of.discard, suppressed)
        left = [each.outgoing and each.outgoing.value for each in await spool.read()]
    assert left == [sent[0].value, None, sent[2].value]


def test_12_of_a_source_only_what_that_source_has_sent() -> None:
    matches = of_the_suppressed({("web", DIGESTS.of("USER_ID", "u1"))}, 100, DIGESTS)
    assert matches(event(userId="u1"))
    assert not matches(event(at=99, userId="u1"))
    assert not matches(letter('{"userId": "u1"}', source="app"))
    assert not matches(Outgoing("events", b"k", b"nonsense"))


def _names_u1(directory: Path) -> bool:
    return any(b"u1" in each.read_bytes() for each in directory.iterdir() if each.is_file())
