"""The kinds of workspace documents: how each is checked and what it refers to."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from schemas.problems import Invalid, Problem
from schemas.records import Kind
from services.activator.domain.destination import destination_secrets, parse_destination
from services.control.model_problems import check_model
from services.control.references import Reference, References, audience_segments, member_segments
from services.identity.domain.rules import IdentityRules
from services.ingest.domain.source import Source
from services.ingest.public_key import is_rsa_key
from services.segmenter.domain.segment import KEYS, parse_segment
from services.warehouse.domain.model import Model
from services.warehouse.domain.source import SOURCES

Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class WorkspaceKind:
    """Everything that the workspace knows about one kind."""

    check: Callable[[Body], Sequence[Problem]]
    """All that is wrong with one document alone."""
    references: References = lambda body: iter(())
    """The documents that it names."""
    secrets: Callable[[Body], Iterable[tuple[str, Any]]] = lambda body: ()
    """The places and values that must be references to secrets."""


def _check_source(body: Body) -> Sequence[Problem]:
    if "type" in body:
        if body["type"] not in SOURCES:
            known = ", ".join(SOURCES)
            return (Problem("type", f"is no type of source; the types are {known}"),)
        return check_model(SOURCES[body["type"]], body)
    return check_model(Source, body) or tuple(_unreadable_keys(Source.model_validate(body)))


def _unreadable_keys(source: Source) -> Iterator[Problem]:
    for index, client in enumerate(source.oauth.clients if source.oauth else ()):
        for name, key in client.public_keys.items():
            if not is_rsa_key(key):
                place = f"oauth.clients[{index}].public_keys.{name}"
                yield Problem(place, "is no RSA public key that can be read")


def _check_model(body: Body) -> Sequence[Problem]:
    return check_model(Model, body)


def _model_source(body: Body) -> Iterator[Reference]:
    if isinstance(source := body.get("source"), str):
        yield Reference("source", "source", source)


def _check_identity(body: Body) -> Sequence[Problem]:
    return check_model(IdentityRules, body)


def _check_segment(body: Body) -> Sequence[Problem]:
    try:
        parse_segment(body, version=1, state="live")
    except Invalid as error:
        return [_in_document(problem, body) for problem in error.problems]
    return ()


def _in_document(problem: Problem, body: Body) -> Problem:
    """Places in the condition begin below `where`; those of the frame are keys of the document."""
    frame = problem.place in KEYS or problem.place in body
    return problem if frame else Problem(f"where.{problem.place}", problem.message)


def _check_destination(body: Body) -> Sequence[Problem]:
    try:
        parse_destination(body)
    except Invalid as error:
        return error.problems
    return ()


def _source_secrets(body: Body) -> Iterator[tuple[str, Any]]:
    for name in (
        "dsn",
        "credentials",
        "private_key",
        "private_key_passphrase",
        "password",
        "token",
    ):
        if name in body:
            yield name, body[name]
    yield from _write_keys(body)


def _write_keys(body: Body) -> Iterator[tuple[str, Any]]:
    keys = body.get("write_keys")
    for index, key in enumerate(keys if isinstance(keys, list) else ()):
        if isinstance(key, dict):
            yield f"write_keys[{index}].key", key.get("key")
        else:
            yield f"write_keys[{index}]", key


WORKSPACE_KINDS: Mapping[Kind, WorkspaceKind] = {
    "source": WorkspaceKind(_check_source, secrets=_source_secrets),
    "model": WorkspaceKind(_check_model, references=_model_source),
    "identity": WorkspaceKind(_check_identity),
    "segment": WorkspaceKind(_check_segment, references=member_segments),
    "destination": WorkspaceKind(
        _check_destination, references=audience_segments, secrets=destination_secrets
    ),
}
