"""§17: which records on the disk are of somebody erased."""

import json
from typing import Any

import pytest

from schemas.codec import encode
from schemas.records import DeadLetter, Event, SubjectType, Suppression, Tick
from services.ingest.domain.suppression import Digests
from services.ingest.outgoing import Outgoing
from services.ingest.spool_erasure import of_the_erased

DIGESTS = Digests(b"a secret of sixteen")


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
