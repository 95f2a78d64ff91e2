"""The documents of a workspace folder and the faults in it, each with file and line."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from schemas.problems import nearest
from schemas.records import Kind
from services.control.nodes import Node, line_of
from services.control.yaml_text import read_yaml

KINDS: tuple[Kind, ...] = get_args(Kind)
MAX_BYTES = 1_000_000
_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One thing that is wrong, and where; reads `file:line kind id: place: message`."""

    file: str
    line: int
    subject: str
    place: str
    message: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line} {self.subject}".rstrip()
        return ": ".join(part for part in (where, self.place, self.message) if part)


@dataclass(frozen=True, slots=True)
class Document:
    """One document whose kind and id are known; what it says may still be wrong."""

    kind: Kind
    id: str
    body: Mapping[str, Any]
    file: str
    node: Node

    def fault(self, place: str, message: str) -> Fault:
        """Something wrong at a place in this document."""
        line = line_of(self.node, place)
        return Fault(self.file, line, f"{self.kind} {self.id}", place, message)


@dataclass(frozen=True, slots=True)
class Folder:
    """What was read; `complete` is false when part of a file could not be read at all."""

    documents: tuple[Document, ...]
    faults: tuple[Fault, ...]
    complete: bool


def read_folder(root: Path) -> Folder:
    """Every YAML file in the folder, at any depth; names that begin with a dot are left out."""
    files = [read_file(path) for path in _files(root)]
    if not files:
        return Folder((), (Fault(str(root), 1, "", "", "no .yaml or .yml file in here"),), False)
    return Folder(
        tuple(document for file in files for document in file.documents),
        tuple(fault for file in files for fault in file.faults),
        all(file.complete for file in files),
    )


def _files(root: Path) -> Iterator[Path]:
    for path in sorted(root.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
        if path.suffix in (".yaml", ".yml") and not hidden and path.is_file():
            yield path


def read_file(path: Path) -> Folder:
    """The documents of one file."""
    try:
        text = _text(path)
    except ValueError as error:
        return Folder((), (Fault(str(path), 1, "", "", str(error)),), False)
    return _split(str(path), text)


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
        if len(content) > MAX_BYTES:
            raise ValueError(f"larger than {MAX_BYTES} bytes")
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError("not UTF-8 text") from error
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from error


def _split(file: str, text: str) -> Folder:
    read = read_yaml(text)
    heads = [_head(file, node) for node in read.documents]
    faults = [head for head in heads if isinstance(head, Fault)]
    for fault in read.faults:
        head = heads[fault.document] if fault.document < len(heads) else None
        subject = f"{head.kind} {head.id}" if isinstance(head, Document) else ""
        faults.append(Fault(file, fault.line, subject, "", fault.message))
    documents = tuple(head for head in heads if isinstance(head, Document))
    complete = read.complete and len(documents) == len(heads)
    return Folder(documents, tuple(faults), complete)


def _head(file: str, node: Node) -> Document | Fault:
    """The document, when its kind and id can be told; else the reason why not."""

    def fault(place: str, message: str) -> Fault:
        return Fault(file, line_of(node, place), "", place, message)

    body = node.value
    if not isinstance(body, dict):
        return fault("", "a document must be a mapping with `kind` and `id`")
    kind, id = body.get("kind"), body.get("id")
    if kind is None:
        return fault("kind", f"is missing; it is one of {', '.join(KINDS)}")
    if kind not in KINDS:
        return fault("kind", f"unknown kind `{kind}`{did_you_mean(str(kind), KINDS)}")
    if id is None:
        return fault("id", f"is missing from this {kind}")
    if not isinstance(id, str) or _ID.fullmatch(id) is None:
        return fault("id", f"`{id}` must be 1 to 64 of a-z, 0-9 and -, and not begin with -")
    return Document(kind, id, body, file, node)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`, did you mean `x`?` when something known is near; else nothing."""
    near = nearest(word, known)
    return f", did you mean `{near}`?" if near else ""
