"""An explanation as a JSON document that programs can rely on."""

from typing import Any

from services.segmenter.checking import Check
from services.segmenter.domain.explain.node import Node
from services.segmenter.domain.explain.reading import Evidence
from services.segmenter.domain.explain.words import instant
from services.segmenter.explaining import Answer


def explanation_document(answer: Answer, named: str) -> dict[str, Any]:
    """Instants as RFC 3339; the keys stay as they are."""
    explanation = answer.explanation
    smallest = explanation.smallest
    since = answer.standing.since
    return {
        "profile_id": answer.profile_id,
        "merged_from": named if named != answer.profile_id else None,
        "segment_id": answer.segment.id,
        "segment_version": answer.segment.version,
        "segment_state": answer.segment.state,
        "being_built": None if answer.waiting is None else answer.waiting.version,
        "at": instant(explanation.now),
        "member": answer.member,
        "condition": _node_document(explanation.tree, explanation.now),
        "changes_at": _instant(explanation.changes_at),
        "smallest_change": None
        if smallest is None
        else [_change_document(leaf, explanation.now) for leaf in smallest],
        "log_since": _instant(answer.since),
        "decided": None
        if since is None
        else {
            "member": since.member,
            "occurred_at": instant(since.occurred_at),
            "cause": since.cause,
            "cause_id": since.cause_id,
            "segment_version": since.segment_version,
        },
        "checks": [_check_document(check, answer.due) for check in answer.checks],
    }


def _node_document(node: Node, now: int) -> dict[str, Any]:
    document: dict[str, Any] = {
        "kind": node.kind,
        "words": node.words,
        "holds": node.holds_at(now),
    }
    if node.reading is not None:
        document |= {
            "found": node.reading.found,
            "evidence": [_evidence_document(each) for each in node.reading.evidence],
            "changes_at": _instant(node.reading.next_change(now)),
        }
    if node.members:
        document["members"] = [_node_document(member, now) for member in node.members]
    return document


def _evidence_document(each: Evidence) -> dict[str, Any]:
    return {
        "at": instant(each.at),
        "message_id": each.message_id,
        "what": each.what,
        "value": each.value,
        "until": _instant(each.until),
    }


def _change_document(leaf: Node, now: int) -> dict[str, Any]:
    reading = leaf.reading
    assert reading is not None
    return {
        "leaf": leaf.words,
        "now": leaf.holds_at(now),
        "turn": reading.turn,
        "by_itself_at": _instant(reading.next_change(now)),
    }


def _check_document(check: Check, member: bool) -> dict[str, Any]:
    agrees = None if check.says is None else check.says is member
    return {
        "against": check.against,
        "member": check.says,
        "agrees": agrees,
        "why_not": check.why_not or None,
    }


def _instant(milliseconds: int | None) -> str | None:
    return None if milliseconds is None else instant(milliseconds)
