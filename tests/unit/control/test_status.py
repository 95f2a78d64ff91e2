"""What `afflux status` says of the segments and the destinations."""

import io
from datetime import UTC, datetime
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table

from services.activator.standing import Standing, Trouble
from services.control.status import SegmentStatus, ServiceStatus, Silent
from services.control.status_tables import (
    destinations_table,
    mending,
    segments_table,
    spool_table,
    status_table,
)
from services.ingest.standing import SpoolStanding


def segmenter(worker: int, version: int, **segment: Any) -> ServiceStatus:
    stands: dict[str, Any] = {"in_force": version, "building": None, "read": 1.0, "since": None}
    return ServiceStatus(
        service="segmenter",
        worker=worker,
        ready=True,
        definitions={"segment:big": version, "source:big": 3},
        segments={"big": SegmentStatus(**{**stands, **segment})},
    )


@pytest.mark.parametrize(
    ("in_force", "building", "read", "since", "is_paused", "said"),
    [
        (3, None, 1.0, None, False, "live"),
        (None, 3, 0.454, None, False, "building, 45% read"),
        (2, 3, 0.0, None, False, "building, 0% read, 2 counts until then"),
        (3, None, 1.0, 1792886400000, False, "built from 2026-10-25"),
        (3, None, 1.0, None, True, "paused"),
        (2, 3, 0.0, None, True, "paused, building, 0% read, 2 counts until then"),
    ],
)
def test_s5_the_progress_of_a_segment_stands_beside_its_version(
    in_force: int | None,
    building: int | None,
    read: float,
    since: int | None,
    is_paused: bool,
    said: str,
) -> None:
    answer = segmenter(
        0, 3, in_force=in_force, building=building, read=read, since=since, is_paused=is_paused
    )
    assert ["big", "3", *said.split()] in printed(segments_table([answer]))


def test_s5_workers_that_are_not_as_far_as_others_are_told_apart() -> None:
    answers = [segmenter(1, 3, building=3, read=0.5, in_force=2), segmenter(0, 3)]
    shown = printed(segments_table(answers))
    assert ["big", "3", "worker", "0:", "live"] in shown
    assert ["worker", "1:", "building,", "50%", "read,", "2", "counts", "until", "then"] in shown


def test_what_others_run_a_newer_version_of_is_named_beside_the_number_of_all() -> None:
    shown = printed(status_table([segmenter(0, 3), segmenter(1, 2)]))
    assert ["segmenter", "0", "yes", "2"] in shown
    assert ["segmenter", "1", "yes", "2"] in shown
    assert ["segment:big", "2", "(newest", "3)"] in shown
    assert sum("newest" in " ".join(words) for words in shown) == 1


AT = datetime(2026, 11, 25, 8, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"state": "working"}, ["ads", "working", "0"]),
        (
            {"state": "needs_auth", "reason": "unauthorized", "since": AT, "waiting": 12},
            ["ads", "needs_auth:", "unauthorized,", "since", "2026-11-25", "08:30:00Z", "12"],
        ),
        (
            {"state": "throttled", "until": AT},
            ["ads", "throttled,", "until", "2026-11-25", "08:30:00Z", "0"],
        ),
        (
            {
                "state": "working",
                "last_trouble": Trouble(outcome="retry", reason="server_error", at=AT),
            },
            ["ads", "working", "0", "retry:", "server_error,", "2026-11-25", "08:30:00Z"],
        ),
    ],
)
def test_how_a_destination_stands(fields: dict[str, Any], said: list[str]) -> None:
    answer = ServiceStatus(
        service="sender", worker=0, ready=True, destination=Standing(id="ads", **fields)
    )
    console = Console(file=io.StringIO(), width=200)
    console.print(destinations_table([answer]))
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().replace("│", " ").splitlines()
    assert said in [line.split() for line in lines]


def test_a_sender_shows_its_own_definition_alone() -> None:
    answer = ServiceStatus(
        service="sender",
        worker=0,
        ready=True,
        definitions={"destination:ads": 3, "destination:crm": 1, "segment:big": 2},
        destination=Standing(id="ads", state="working"),
    )
    shown = printed(status_table([answer]))
    assert ["sender", "ads", "0", "yes", "destination:ads", "3"] in shown
    assert not any("segment:big" in words for words in shown)


def test_a_sender_that_is_not_there_is_named_with_the_command_that_says_why() -> None:
    silent = Silent("http://x:1", "does not answer", "sender crm", "crm")
    assert ["sender", "crm", "no:", "does", "not", "answer"] in printed(status_table([silent]))
    (words,) = [row for row in printed(destinations_table([silent])) if row[:1] == ["crm"]]
    assert "its sender does not answer: `afflux destination test crm` may say why" in " ".join(
        words
    )


def test_a_pause_is_explained_with_what_ends_it() -> None:
    meaning = "The app lacks a scope. Add it."
    paused = Standing(id="crm", state="misconfigured", reason="scopes", meaning=meaning)
    stands = [paused, Standing(id="ads", state="working")]
    answers = [
        ServiceStatus(service="sender", worker=0, ready=True, destination=each) for each in stands
    ]
    assert mending(answers) == [f"crm is paused. {meaning} Then `afflux resume crm`."]


def printed(table: Table) -> list[list[str]]:
    """The words of each line."""
    console = Console(file=io.StringIO(), width=200)
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    return [line.replace("│", " ").split() for line in console.file.getvalue().splitlines()]


@pytest.mark.parametrize(
    ("direct", "records", "size", "limit", "age", "said"),
    [
        (True, 0, 0, 1 << 30, 0.0, ["worker 2", "the broker", " 0 ", "0.0 of 1024 MB (0%)"]),
        (False, 70, 3 << 20, 8 << 20, 61.7, ["the spool", "70", "3.0 of 8 MB (38%)", "62 s ago"]),
        (False, 0, 0, 0, 0.0, ["nowhere: refused", "none"]),
    ],
)
def test_12_the_age_and_size_of_a_spool_are_shown(
    direct: bool, records: int, size: int, limit: int, age: float, said: list[str]
) -> None:
    stands = SpoolStanding(
        is_direct=direct, records=records, bytes=size, limit_bytes=limit, age_s=age
    )
    console = Console(file=io.StringIO(), width=200)
    answer = ServiceStatus(service="ingest", worker=2, ready=True, spool=stands)
    console.print(spool_table([answer]))
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    assert [one for one in said if one not in shown] == []
    assert ("s ago" in shown) is (records > 0)
