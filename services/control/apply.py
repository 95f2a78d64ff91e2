"""A workspace folder brought into force: checked, compared, written all or nothing."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from schemas.records import Definition
from schemas.topics import DEFINITIONS, TOPICS, Topic, activations, changelog
from services.control.broker import broker
from services.control.changes import Key, Plan, plan_changes
from services.control.definitions_log import read_definitions, write_changes
from services.control.documents import Document, Fault
from services.control.validation import check_workspace
from services.runtime.kafka import create_topics

STAGES = ("identity", "segmenter", "router")
"""The stages of the exact loop, each with a changelog."""


class Refused(ValueError):
    """The workspace cannot come into force; every reason is in `reasons`."""

    def __init__(self, reasons: Sequence[Fault | str]) -> None:
        self.reasons = tuple(str(reason) for reason in reasons)
        super().__init__("\n".join(self.reasons))


def valid_documents(root: Path, *, allow_literal_secrets: bool = False) -> tuple[Document, ...]:
    """The documents of a folder in which nothing is wrong.

    Raises:
        Refused: with every fault.
    """
    workspace = check_workspace(root, allow_literal_secrets=allow_literal_secrets)
    if workspace.faults:
        raise Refused(workspace.faults)
    return workspace.documents


def difference(bootstrap: str, documents: Sequence[Document]) -> Plan:
    """What an apply would change; changes nothing itself.

    Raises:
        Unreachable: no broker answers.
        Refused: the files and what is in force contradict each other.
    """
    topics = broker(bootstrap).list_topics(timeout=5).topics
    in_force = read_definitions(bootstrap) if DEFINITIONS.name in topics else {}
    return _decide(documents, in_force, prune=False)


def apply(
    bootstrap: str,
    documents: Sequence[Document],
    *,
    partitions: int,
    prune: bool = False,
    waiting: Callable[[], None] = lambda: None,
) -> Plan:
    """Create the topics that are missing, then write what changed, in one transaction.

    Raises:
        Unreachable: no broker answers.
        Refused: the files and what is in force contradict each other.
        ApplyBusy: other applies kept going first.
    """
    broker(bootstrap)
    create_topics(bootstrap, needed_topics(documents), partitions)
    return write_changes(
        bootstrap, lambda in_force: _decide(documents, in_force, prune=prune), waiting
    )


def needed_topics(documents: Sequence[Document] = ()) -> tuple[Topic, ...]:
    """Every topic of the platform, and one for each destination."""
    destinations = (document.id for document in documents if document.kind == "destination")
    return (
        *TOPICS,
        *(changelog(stage) for stage in STAGES),
        *(activations(destination) for destination in destinations),
    )


def _decide(
    documents: Sequence[Document], in_force: Mapping[Key, Definition], *, prune: bool
) -> Plan:
    plan = plan_changes(documents, in_force, prune=prune)
    ours = [document.id for document in documents if document.kind == "identity"]
    theirs = [definition.id for definition in plan.left if definition.kind == "identity"]
    if ours and theirs:
        raise Refused(
            [
                f"identity `{theirs[0]}` is in force and the files hold `{ours[0]}`, and there is "
                "one set of rules: keep the id, or archive the other with `afflux apply --prune`"
            ]
        )
    return plan
