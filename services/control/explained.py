"""An explanation on the terminal: the condition as a tree, the rest in sentences."""

from collections.abc import Iterator

from rich.tree import Tree

from services.segmenter.checking import Check
from services.segmenter.domain.explain.node import Node
from services.segmenter.domain.explain.reading import Evidence
from services.segmenter.domain.explain.words import instant, value
from services.segmenter.explaining import Answer

MOST_EVIDENCE = 20
"""So many events a leaf on the terminal, the newest; the document has all."""


def explanation_tree(answer: Answer) -> Tree:
    """The condition with the truth of each piece, what decides it and when it changes."""
    now = answer.explanation.now
    tree = Tree(_headline(answer), guide_style="dim")
    _grow(tree, answer.explanation.tree, now)
    return tree


def explanation_lines(answer: Answer, named: str) -> Iterator[str]:
    """What is to be said beside the tree, one sentence a line."""
    explanation = answer.explanation
    if named != answer.profile_id:
        yield f"{named} was merged and is {answer.profile_id} now"
    if not explanation.exists:
        yield "nothing had happened to this profile yet, so it was in no segment"
    if answer.waiting is not None:
        yield f"version {answer.waiting.version} is being built from the log and is not asked yet"
    if answer.since is not None:
        yield f"built from the log, which reaches back to {instant(answer.since)}"
    yield _decided(answer)
    if answer.segment.state == "paused":
        yield _paused(answer)
    if explanation.changes_at is None:
        yield "it does not change by itself"
    else:
        yield f"it changes by itself at {instant(explanation.changes_at)}, if nothing else happens"
    yield from _changes(answer)
    yield from (_checked(check, answer) for check in answer.checks)


def _headline(answer: Answer) -> str:
    verb = "is in" if answer.member else "is not in"
    segment = answer.segment
    state = "" if segment.state == "live" else f", {segment.state}"
    at = instant(answer.explanation.now)
    return f"{answer.profile_id} {verb} {segment.id} (version {segment.version}{state}) at {at}"


def _grow(tree: Tree, node: Node, now: int) -> None:
    branch = tree.add(f"{_mark(node.holds_at(now))} {node.words}{_found(node)}")
    reading = node.reading
    if reading is not None:
        for each in reading.evidence[-MOST_EVIDENCE:]:
            branch.add(_evidence(each))
        if len(reading.evidence) > MOST_EVIDENCE:
            branch.add(f"and {len(reading.evidence) - MOST_EVIDENCE} before these")
        change = reading.next_change(now)
        if change is not None:
            branch.add(f"changes by itself at {instant(change)}")
    for member in node.members:
        _grow(branch, member, now)


def _mark(holds: bool) -> str:
    return "✓" if holds else "✗"


def _found(node: Node) -> str:
    return "" if node.reading is None else f" — {node.reading.found}"


def _evidence(each: Evidence) -> str:
    said = "" if each.value is None else f" {value(each.value)}"
    until = "" if each.until is None else f", counts until {instant(each.until)}"
    return f"{instant(each.at)} {each.what}{said} [{each.message_id}]{until}"


def _decided(answer: Answer) -> str:
    since = answer.standing.since
    if since is None:
        inside = "in" if answer.standing.member else "out"
        return f"the running segmenter has it {inside}; no change of that is in the log"
    verb = "entered" if since.member else "left"
    cause = f"{since.cause} {since.cause_id}".strip()
    return f"{verb} at {instant(since.occurred_at)}, cause: {cause}"


def _paused(answer: Answer) -> str:
    then = "stays as it is" if answer.due is answer.member else "enters" if answer.due else "leaves"
    return f"the segment is paused; if it were resumed now, this profile {then}"


def _changes(answer: Answer) -> Iterator[str]:
    smallest = answer.explanation.smallest
    if answer.segment.state == "archived":
        yield "the segment is archived, so nobody is in it"
        return
    wanted = "out" if answer.explanation.holds else "in"
    if smallest is None:
        yield f"nothing was found that can happen and would let it {wanted}"
    elif smallest:
        yield f"the smallest change that would let it {wanted}:"
        for leaf in smallest:
            yield f"  - {' — or '.join(_ways(leaf, answer.explanation.now))}"


def _ways(leaf: Node, now: int) -> Iterator[str]:
    """What turns a leaf: something that happens, or time alone."""
    reading = leaf.reading
    if reading is not None and reading.turn is not None:
        yield reading.turn
    change = None if reading is None else reading.next_change(now)
    if reading is not None and change is not None:
        yield f"{reading.waiting or 'nothing else happens'} until {instant(change)}"


def _checked(check: Check, answer: Answer) -> str:
    if check.says is None:
        return f"not compared with {check.against}: {check.why_not}"
    if check.says is answer.due:
        return f"{check.against} says the same"
    says = "a member" if check.says else "no member"
    return (
        f"DISAGREEMENT: {check.against} says {says}. Run `afflux audit --segment "
        f"{answer.segment.id}`; a condition that overflowed explains it, anything else is a fault"
    )
