"""Memberships as of a past instant: as they were decided, and as they are recomputed today."""

from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace

from schemas.records import MembershipChanged
from services.segmenter.checking import conditions_of
from services.segmenter.domain.explain.words import instant
from services.segmenter.domain.history import Pair, Standing, standings_at
from services.segmenter.domain.lives import Life
from services.segmenter.domain.segment import Segment
from services.segmenter.lives import everyone, named, read_lives
from services.segmenter.recompute import Recomputation
from services.segmenter.transitions import Decided


class BeforeTheLog(LookupError):
    """The instant lies before what the log still holds; the message says where that begins."""


@dataclass(frozen=True, slots=True)
class History:
    """How it stood at an instant, and how it came to that."""

    at: int
    standings: tuple[Standing, ...]
    changes: tuple[MembershipChanged, ...]
    """Those that had taken place by then."""
    since: int | None
    """From when on the log holds every change; None when it holds all there ever were."""
    recomputed: Mapping[Pair, bool] | None = None
    """What would have been true with all that is known today; None where it was not asked."""
    recomputed_since: int | None = None
    """From when on the log of events is whole."""


def history_at(decided: Decided, at: int) -> History:
    """How it stood at `at`.

    Raises:
        BeforeTheLog: changes of that time have been dropped.
    """
    if decided.since is not None and at < decided.since:
        raise BeforeTheLog(
            f"{instant(at)} lies before the log, which reaches back to {instant(decided.since)}"
        )
    changes = tuple(each for each in decided.changes if each.occurred_at <= at)
    standings = standings_at(decided.changes, decided.present, at)
    return History(at, tuple(standings), changes, decided.since)


def with_recomputation(
    history: History,
    bootstrap: str,
    segments: Mapping[str, Segment],
    *,
    profile_id: str | None = None,
    segment_id: str | None = None,
) -> History:
    """The same beside what today's conditions say of all that is known today to have happened by
    then, late events and later merges included.

    Raises:
        KafkaException: the broker went away.
    """
    wanted = everyone if profile_id is None else named({profile_id})
    lives = read_lives(bootstrap, wanted)
    known = [_until(life, history.at) for life in lives.lives.values()]
    asked = [each for each in segments.values() if segment_id in (None, each.id)]
    found = _members([life for life in known if life.applied], asked, segments, history.at)
    pairs = {**dict.fromkeys(_pairs(history), False), **dict.fromkeys(found, True)}
    return replace(history, recomputed=pairs, recomputed_since=lives.since)


def _pairs(history: History) -> Iterable[Pair]:
    return ((each.profile_id, each.segment_id) for each in history.standings)


def _until(life: Life, at: int) -> Life:
    """What had happened by then, whenever it became known."""
    applied = tuple(each for each in life.applied if each.at <= at)
    return replace(life, applied=applied, clock=at)


def _members(
    lives: list[Life], asked: list[Segment], segments: Mapping[str, Segment], at: int
) -> list[Pair]:
    others = conditions_of(segments)
    with closing(Recomputation()) as recomputation:
        recomputation.load(lives)
        recomputation.at({life.partition: at for life in lives})
        return [
            (profile_id, segment.id)
            for segment in asked
            if segment.state != "archived"
            for profile_id in recomputation.members(segment.condition, others)
        ]
