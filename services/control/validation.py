"""Everything that is wrong with a workspace folder, at once; nothing here needs a broker."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from services.control.documents import Document, Fault, read_folder
from services.control.kinds import WORKSPACE_KINDS
from services.control.references import broken_references, repeated_ids
from services.control.warehouse import unfit_models
from services.runtime.secrets import is_reference

NOT_A_REFERENCE = (
    "a secret is written as a reference, env:NAME or file:PATH; "
    "--allow-literal-secrets takes the secret itself"
)


@dataclass(frozen=True, slots=True)
class Workspace:
    """The documents of a folder, in force together only when there are no faults."""

    documents: tuple[Document, ...]
    faults: tuple[Fault, ...]


def check_workspace(root: Path, *, allow_literal_secrets: bool = False) -> Workspace:
    """Read the folder and check each document, and all of them together.

    References are checked once every file could be read: what a broken file holds is not known.
    """
    folder = read_folder(root)
    faults = list(folder.faults)
    for document in folder.documents:
        faults += _own_faults(document)
        if not allow_literal_secrets:
            faults += _literal_secrets(document)
    faults += repeated_ids(folder.documents)
    if folder.complete:
        references = {kind: rules.references for kind, rules in WORKSPACE_KINDS.items()}
        faults += broken_references(folder.documents, references)
        faults += unfit_models(folder.documents)
    return Workspace(folder.documents, tuple(_sorted(faults)))


def _own_faults(document: Document) -> Iterator[Fault]:
    for problem in WORKSPACE_KINDS[document.kind].check(document.body):
        yield document.fault(problem.place, problem.message)


def _literal_secrets(document: Document) -> Iterator[Fault]:
    for place, value in WORKSPACE_KINDS[document.kind].secrets(document.body):
        if isinstance(value, str) and not is_reference(value):
            yield document.fault(place, NOT_A_REFERENCE)


def _sorted(faults: Sequence[Fault]) -> list[Fault]:
    """By file and line; the same complaint from two rules is said once."""
    return sorted(set(faults))
