"""§17: who is suppressed, as every ingest process knows it from the log."""

from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pydantic import SecretStr

from schemas.codec import encode
from schemas.records import SubjectType, Suppression
from services.ingest.domain.suppression import Digests, suppression_key
from services.ingest.last_known import LastKnown
from services.ingest.suppressed import Kept, Suppressions

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


@dataclass
class Spool:
    """What was to be blanked in it."""

    erased: list[Suppression] = field(default_factory=list)
    discarded: list[Set[tuple[str, str]]] = field(default_factory=list)

    def erase(self, erasures: Sequence[Suppression]) -> None:
        self.erased += erasures

    def discard(self, suppressed: Set[tuple[str, str]]) -> None:
        self.discarded.append(suppressed)


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
    spooled = Spool()
    suppressions = Suppressions("nowhere:1", SecretStr(SECRET), spooled)
    suppressions.take(*record(until=100))
    assert spooled.erased == []
    suppressions.caught_up()
    suppressions.caught_up()
    assert [each.until for each in spooled.erased] == [100]
    assert not suppressions.holds("web", "USER_ID", "u1")


def test_17_the_log_does_not_tell_who_it_is() -> None:
    key, value = record("ada")
    assert b"ada" not in key + value
    assert Digests(b"another").of("USER_ID", "ada") != DIGESTS.of("USER_ID", "ada")


def kept(directory: Path) -> LastKnown[Kept]:
    return LastKnown(directory / "suppressed.known", Kept)


def remembering(
    directory: Path, *records: tuple[bytes, bytes], secret: str | None = SECRET
) -> None:
    """An earlier process that knew these."""
    earlier = Suppressions("nowhere:1", SecretStr(secret) if secret else None, kept=kept(directory))
    for each in records:
        earlier.take(*each)
    earlier.caught_up()
    earlier.save()


def started(
    directory: Path, secret: str | None = SECRET, spool: Spool | None = None
) -> Suppressions:
    suppressions = Suppressions(
        "nowhere:1", SecretStr(secret) if secret else None, spool, kept(directory)
    )
    suppressions.load()
    return suppressions


def test_12_who_was_suppressed_last_is_while_the_broker_is_away(tmp_path: Path) -> None:
    assert not started(tmp_path).ready
    remembering(tmp_path, record(), record("a1", source="web", kind="ANONYMOUS_ID"))
    suppressions = started(tmp_path)
    assert suppressions.ready
    assert not suppressions.is_confirmed
    assert suppressions.holds("app", "USER_ID", "u1")
    assert suppressions.holds("web", "ANONYMOUS_ID", "a1")
    assert not suppressions.holds("web", "USER_ID", "u2")


def test_12_the_log_replaces_what_was_known_last(tmp_path: Path) -> None:
    remembering(tmp_path, record("u1"), record("u2"))
    spool = Spool()
    suppressions = started(tmp_path, spool=spool)
    for each in (record("u2"), record("u3")):
        suppressions.take(*each)
    assert suppressions.holds("web", "USER_ID", "u1")
    suppressions.caught_up()
    held = [name for name in ("u1", "u2", "u3") if suppressions.holds("web", "USER_ID", name)]
    assert held == ["u2", "u3"]
    assert spool.discarded == [{("", DIGESTS.of("USER_ID", "u3"))}]
    suppressions.caught_up()
    assert len(spool.discarded) == 1


@pytest.mark.parametrize("secret", [None, "another of sixteen"])
def test_12_what_was_known_under_another_secret_lets_nobody_through(
    secret: str | None, tmp_path: Path
) -> None:
    remembering(tmp_path, record())
    assert not started(tmp_path, secret).ready


def test_12_what_another_secret_has_written_is_not_forgotten_at_the_next_start(
    tmp_path: Path,
) -> None:
    remembering(tmp_path, record())
    remembering(tmp_path, record(digests=Digests(b"another")))
    assert not started(tmp_path).ready


def test_12_nothing_is_kept_of_a_log_that_was_not_read_to_its_end(tmp_path: Path) -> None:
    suppressions = started(tmp_path)
    suppressions.take(*record())
    suppressions.save()
    assert not started(tmp_path).ready


def test_12_the_file_does_not_tell_who_it_is(tmp_path: Path) -> None:
    remembering(tmp_path, record("ada-lovelace"))
    file = tmp_path / "suppressed.known"
    assert b"lovelace" not in file.read_bytes()
    assert file.stat().st_mode & 0o077 == 0
