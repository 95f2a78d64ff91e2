"""`afflux history`: who was in which segment at a past instant."""

import time
from typing import Annotated

import msgspec
from cyclopts import Parameter

from services.control.broker import broker
from services.control.console import console
from services.control.finding import NotFound, find_profile
from services.control.historical import (
    changes_table,
    history_document,
    history_lines,
    standings_table,
)
from services.control.instants import past_instant
from services.control.segments_in_force import newest_segments, segment_named
from services.control.settings import ControlSettings
from services.runtime.settings import read
from services.segmenter.past_memberships import History, history_at, with_recomputation
from services.segmenter.transitions import decided_for, decided_of


def history(
    profile: str | None = None,
    /,
    *,
    segment: str | None = None,
    at: str | None = None,
    recomputed: Annotated[bool, Parameter(negative="")] = False,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Show the memberships of a profile, or the members of a segment, at a past instant.

    What was decided then is read from the log of memberships, which says how far back it reaches.

    Parameters
    ----------
    profile:
        A profile id, an identifier as type:value, or its value alone.
    segment:
        Id of a segment, instead of a profile.
    at:
        The instant, such as 2026-11-25T08:00:00Z or a date; now without it.
    recomputed:
        Show beside it what would have been true with all that is known today.
    as_json:
        Print one JSON document.
    """
    if (profile is None) is (segment is None):
        raise NotFound("name either a profile or --segment")
    settings = read(ControlSettings)
    broker(settings.kafka_bootstrap)
    instant = time.time_ns() // 1_000_000 if at is None else past_instant(at)
    named = None
    if profile is not None:
        named = find_profile(settings.postgres_dsn.get_secret_value(), profile)
    found = _read(settings.kafka_bootstrap, named, segment, instant, recomputed=recomputed)
    if as_json:
        print(msgspec.json.encode(history_document(found)).decode())
        return 0
    console().print(standings_table(found))
    if named is not None:
        console().print(changes_table(found))
    for line in history_lines(found):
        print(line)
    return 0


def _read(
    bootstrap: str, profile_id: str | None, segment: str | None, at: int, *, recomputed: bool
) -> History:
    newest = newest_segments(bootstrap)
    if segment is not None:
        segment_named(segment, newest)
    if profile_id is not None:
        decided = decided_of(bootstrap, profile_id)
    else:
        decided = decided_for(bootstrap, segment or "")
    found = history_at(decided, at)
    if not recomputed:
        return found
    return with_recomputation(found, bootstrap, newest, profile_id=profile_id, segment_id=segment)
