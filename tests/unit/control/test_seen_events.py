"""workspace.md: a segment naming an event never seen is a warning, with what was meant."""

from pathlib import Path

from services.control.documents import read_folder
from services.control.seen_events import seen_events, unseen_events
from services.control.status import Answer, ServiceStatus, Silent

SEGMENT = """\
kind: segment
id: s
where:
  all:
    - {event: Order Completed}
    - any: [{first: Sign Up, property: a, op: exists}, {last: $page, property: a, op: exists}]
    - not: {sequence: [{event: Cart}, {absent: {event: Order Complete}, wait: 1d}]}
---
kind: destination
id: d
type: webhook
events: [{when: Never, send: x}]
"""


def answering(service: str, *events: str, knows: bool = True) -> ServiceStatus:
    known = list(events) if knows else None
    return ServiceStatus(service=service, worker=0, ready=True, events=known)


def test_workspace_an_event_never_seen_is_a_warning_at_its_place(tmp_path: Path) -> None:
    (tmp_path / "f.yaml").write_text(SEGMENT, encoding="utf-8")
    documents = read_folder(tmp_path).documents
    warnings = unseen_events(documents, frozenset(("Order Completed", "Cart", "$page")))
    assert [(w.line, w.place, w.message) for w in warnings] == [
        (6, "where.all[1].any[0].first", "warning: no event `Sign Up` ever came"),
        (
            7,
            "where.all[2].not.sequence[1].absent.event",
            "warning: no event `Order Complete` ever came, did you mean `Order Completed`?",
        ),
    ]


def test_workspace_events_are_judged_only_when_every_service_answers() -> None:
    router, one = answering("router", knows=False), answering("segmenter", "A")
    two, many = answering("segmenter", "B"), answering("segmenter", knows=False)
    cases: list[tuple[list[Answer], frozenset[str] | None]] = [
        ([router, one, two], frozenset("AB")),
        ([router, one, many], None),
        ([router, one, Silent("http://x", "does not answer")], None),
        ([router], None),
        ([], None),
    ]
    assert [seen_events(answers) for answers, _ in cases] == [seen for _, seen in cases]
