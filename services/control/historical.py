"""Past memberships as tables on the terminal, and as a JSON document."""

from collections.abc import Iterator
from typing import Any

from rich.table import Table

from schemas.records import MembershipChanged
from services.segmenter.domain.explain.words import instant
from services.segmenter.domain.history import Pair, Standing
from services.segmenter.past_memberships import History

_ABSENT = Standing("", "", member=False, since=None, until=None)


def standings_table(history: History) -> Table:
    """One row a profile and segment: those that were members, and those that differ today."""
    table = Table("profile", "segment", "member", "since", "cause", "until")
    if history.recomputed is not None:
        table.add_column("recomputed")
    for pair, standing in _rows(history):
        recomputed = [] if history.recomputed is None else [_yes(history.recomputed[pair])]
        table.add_row(*pair, _yes(standing.member), *_told(standing), *recomputed)
    return table


def changes_table(history: History) -> Table:
    """Every change that had taken place, oldest first."""
    table = Table("at", "profile", "segment", "version", "change", "cause")
    for each in sorted(history.changes, key=lambda change: change.occurred_at):
        table.add_row(
            instant(each.occurred_at),
            each.profile_id,
            each.segment_id,
            str(each.segment_version),
            "entered" if each.member else "left",
            _cause(each),
        )
    return table


def history_lines(history: History) -> Iterator[str]:
    """How far back it can be known."""
    members = sum(each.member for each in history.standings)
    yield f"{members} memberships at {instant(history.at)}, as they were decided"
    if history.since is not None:
        yield f"memberships are in the log from {instant(history.since)} on"
    if history.recomputed is not None:
        differing = sum(
            history.recomputed[pair] is not standing.member for pair, standing in _rows(history)
        )
        yield f"{differing} differ from a recomputation with what is known today"
    if history.recomputed_since is not None:
        yield f"recomputed from events since {instant(history.recomputed_since)}"


def history_document(history: History) -> dict[str, Any]:
    """Instants as RFC 3339; the keys stay as they are."""
    return {
        "at": instant(history.at),
        "log_since": None if history.since is None else instant(history.since),
        "memberships": [
            {
                "profile_id": pair[0],
                "segment_id": pair[1],
                "member": standing.member,
                "since": _change_document(standing.since),
                "until": _change_document(standing.until),
                "recomputed": None if history.recomputed is None else history.recomputed[pair],
            }
            for pair, standing in _rows(history)
        ],
        "changes": [_change_document(each) for each in history.changes],
    }


def _rows(history: History) -> Iterator[tuple[Pair, Standing]]:
    """Who was a member then, or would have been, with what is known today; sorted."""
    known = {(each.profile_id, each.segment_id): each for each in history.standings}
    recomputed = history.recomputed or {}
    for pair in sorted({*known, *recomputed}):
        standing = known.get(pair, _ABSENT)
        if standing.member or recomputed.get(pair) or standing.since is not None:
            yield pair, standing


def _told(standing: Standing) -> tuple[str, str, str]:
    since, until = standing.since, standing.until
    if since is None:
        return "", "", "" if until is None else instant(until.occurred_at)
    ended = "" if until is None else instant(until.occurred_at)
    return instant(since.occurred_at), _cause(since), ended


def _cause(change: MembershipChanged) -> str:
    return f"{change.cause} {change.cause_id}".strip()


def _change_document(change: MembershipChanged | None) -> dict[str, Any] | None:
    if change is None:
        return None
    return {
        "profile_id": change.profile_id,
        "segment_id": change.segment_id,
        "segment_version": change.segment_version,
        "member": change.member,
        "sequence": change.sequence,
        "occurred_at": instant(change.occurred_at),
        "decided_at": instant(change.decided_at),
        "cause": change.cause,
        "cause_id": change.cause_id,
    }


def _yes(claim: bool) -> str:
    return "yes" if claim else "no"
