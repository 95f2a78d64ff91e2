"""What an audit found, as a table, as sentences and as a document."""

from collections.abc import Iterator
from typing import Any

import msgspec
from rich.table import Table

from services.segmenter.domain.audit import Audit
from services.segmenter.domain.explain.words import instant

_SHOWN = 50
"""Differences listed for people; the document has them all."""


def audit_table(found: Audit) -> Table:
    """One row a segment."""
    table = Table("segment", "compared", "members", "differences", "remarks")
    for segment_id, checked in sorted(found.segments.items()):
        remarks = list(checked.notes)
        if checked.behind:
            remarks.append(f"{checked.behind} profiles were just changing")
        if checked.unknown:
            remarks.append(f"for {checked.unknown} profiles the log is too short to say")
        if checked.overflowed:
            remarks.append(f"{checked.overflowed} profiles with too many entries stand still")
        table.add_row(
            segment_id,
            f"{checked.compared + len(checked.differences):,}",
            f"{checked.members:,}",
            str(len(checked.differences)),
            "; ".join(remarks),
        )
    return table


def audit_lines(found: Audit) -> Iterator[str]:
    """The differences, then what was done."""
    for each in found.differences[:_SHOWN]:
        yield (
            f"{each.profile_id} in {each.segment_id}: the stream says {_word(each.stream)},"
            f" the recomputation says {_word(each.recomputed)}"
        )
    if len(found.differences) > _SHOWN:
        yield f"and {len(found.differences) - _SHOWN} more; --json lists all"
    reach = "" if found.since is None else f"; the log reaches back to {instant(found.since)}"
    result = "NO DIFFERENCE" if not found.differences else f"{len(found.differences)} DIFFERENCES"
    yield f"{found.profiles:,} profiles, {found.compared:,} memberships: {result}{reach}"


def audit_document(found: Audit) -> dict[str, Any]:
    """Everything, for programs."""
    return {
        "profiles": found.profiles,
        "memberships": found.compared,
        "log_since": None if found.since is None else instant(found.since),
        "differences": msgspec.to_builtins(found.differences),
        "segments": [
            {
                "segment": segment_id,
                "compared": checked.compared + len(checked.differences),
                "members": checked.members,
                "differences": len(checked.differences),
                "behind": checked.behind,
                "unknown": checked.unknown,
                "overflowed": checked.overflowed,
                "remarks": checked.notes,
            }
            for segment_id, checked in sorted(found.segments.items())
        ],
    }


def _word(member: bool) -> str:
    return "member" if member else "no member"
