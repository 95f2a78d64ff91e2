"""§17: who is suppressed, as every ingest process knows it from the log."""

import pytest
from pydantic import SecretStr

from schemas.codec import encode
from schemas.records import SubjectType, Suppression
from services.ingest.domain.suppression import Digests, suppression_key
from services.ingest.suppressed import Suppressions

SECRET = "a secret of sixteen"
DIGESTS = Digests(SECRET.encode())


def record(
    subject: str = "u1",
    *,
    source: str | None = None,
    kind: SubjectType = "USER_ID",
    digests: Digests = DIGESTS,
    until: int | None = None,
) -> tuple[bytes, bytes]:
    digest = digests.of(kind, subject)
    key = suppression_key(source, digest, regulation_id="" if until is None else "r-1")
    value = Suppression(
        source_id=source,
        subject_type=kind,
        key_id=digests.key_id,
        digest=digest,
        until=until,
    )
    return key.encode(), encode(value)


def knowing(*records: tuple[bytes, bytes | None], secret: str | None = SECRET) -> Suppressions:
    suppressions = Suppressions("nowhere:1", SecretStr(secret) if secret else None)
    for each in records:
        suppressions.take(*each)
    suppressions.caught_up()
    return suppressions


def test_17_before_the_log_was_read_to_its_end_nothing_is_known() -> None:
    suppressions = Suppressions("nowhere:1", None)
    suppressions.take(*record())
    assert not suppressions.ready
    assert knowing(secret=None).ready


@pytest.mark.parametrize(
    ("source", "kind", "subject", "held"),
    [
        ("web", "USER_ID", "u1", True),
        ("app", "USER_ID", " u1 ", True),
        ("web", "ANONYMOUS_ID", "u1", False),
        ("web", "USER_ID", "U1", False),
        ("web", "ANONYMOUS_ID", "a1", True),
        ("app", "ANONYMOUS_ID", "a1", False),
    ],
)
def test_17_a_person_is_suppressed_everywhere_or_at_one_source(
    source: str, kind: SubjectType, subject: str, held: bool
) -> None:
    suppressions = knowing(record(), record("a1", source="web", kind="ANONYMOUS_ID"))
    assert suppressions.holds(source, kind, subject) is held


def test_17_a_record_without_value_ends_it() -> None:
    key, value = record()
    assert not knowing((key, value), (key, None)).holds("web", "USER_ID", "u1")


@pytest.mark.parametrize("secret", [None, "another of sixteen"])
def test_17_what_another_secret_has_written_lets_nobody_through(secret: str | None) -> None:
    key, value = record()
    assert not knowing((key, value), secret=secret).ready
    assert knowing((key, value), (key, None), secret=secret).ready


def test_17_what_a_newer_version_has_written_lets_nobody_through() -> None:
    assert not knowing((b"suppression::x", b"\0\0\0\1\0")).ready


def test_an_erasure_is_reported_and_suppresses_nobody() -> None:
    reported: list[Suppression] = []
    suppressions = Suppressions("nowhere:1", SecretStr(SECRET), reported.extend)
    suppressions.take(*record(until=100))
    assert reported == []
    suppressions.caught_up()
    suppressions.caught_up()
    assert [each.until for each in reported] == [100]
    assert not suppressions.holds("web", "USER_ID", "u1")


def test_17_the_log_does_not_tell_who_it_is() -> None:
    key, value = record("ada")
    assert b"ada" not in key + value
    assert Digests(b"another").of("USER_ID", "ada") != DIGESTS.of("USER_ID", "ada")
