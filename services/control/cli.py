"""`afflux`: every command with its help; what they do is in the modules beside this one."""

import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

from confluent_kafka import KafkaException
from cyclopts import App, CycloptsError, Parameter, validators

from deploy.local.errors import LocalStackError
from schemas.codec import Undecodable
from services.control import apply as applying
from services.control.apply import Refused
from services.control.broker import Unreachable
from services.control.changes import NoSuchSegment, Plan
from services.control.commands.audit import audit
from services.control.commands.dead_letters import dead_letters
from services.control.commands.destination import try_out
from services.control.commands.estimate import estimate
from services.control.commands.explain import explain
from services.control.commands.history import history
from services.control.commands.profile import profile
from services.control.commands.reconcile import reconcile
from services.control.commands.resume import resume
from services.control.commands.segment import pause as pause_segment
from services.control.commands.segment import resume as resume_segment
from services.control.commands.source import check_source
from services.control.console import console
from services.control.definitions_log import ApplyBusy
from services.control.destinations import NoLedger, NoSuchDestination
from services.control.dev import develop
from services.control.documents import Fault
from services.control.finding import NotFound
from services.control.instants import NoInstant
from services.control.platform import PlatformFailed, default_status_urls
from services.control.seen_events import named_events, seen_events, unseen_events
from services.control.settings import ControlSettings
from services.control.status import ServiceStatus, ask_all
from services.control.status_tables import (
    destinations_table,
    mending,
    segments_table,
    spool_table,
    status_table,
    warehouse_table,
)
from services.control.validation import Workspace, check_workspace
from services.runtime.kafka import UnknownTopic
from services.runtime.secrets import UnresolvedSecret
from services.runtime.settings import read
from services.segmenter.explaining import Unexplainable
from services.segmenter.past_memberships import BeforeTheLog
from services.segmenter.view import ViewBusy

TROUBLE = (
    Unreachable,
    UnknownTopic,
    UnresolvedSecret,
    ApplyBusy,
    NoLedger,
    NoSuchDestination,
    LocalStackError,
    PlatformFailed,
    NotFound,
    NoInstant,
    Unexplainable,
    ViewBusy,
    NoSuchSegment,
    BeforeTheLog,
)
"""What may go wrong with the world; the text of each says what to do."""

_A_FOLDER = validators.Path(exists=True, file_okay=False)
Folder = Annotated[Path, Parameter(validator=_A_FOLDER, name="DIR")]
Literals = Annotated[bool, Parameter(name="--allow-literal-secrets", negative="")]
Switch = Parameter(negative="")

app = App(
    name="afflux",
    help="Afflux: audiences that are right, in time, and checkable.",
    version=lambda: version("afflux"),
)
destination = App(name="destination", help="Look after one destination.")
destination.command(try_out, name="test")
source = App(name="source", help="Look after one warehouse source.")
source.command(check_source, name="check")
segment = App(name="segment", help="Look after one segment.")
segment.command(pause_segment, name="pause")
segment.command(resume_segment, name="resume")
app.command(dead_letters)
app.command(destination)
app.command(segment)
app.command(source)
app.command(reconcile)
app.command(resume)
app.command(audit)
app.command(estimate)
app.command(explain)
app.command(history)
app.command(profile)


def main() -> None:
    """The entry point: exit code 0 when all is well, 1 for faults in files, 2 for trouble."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command; what goes wrong is a sentence on the error output, not a traceback."""
    try:
        code = app(arguments, exit_on_error=False, result_action="return_value")
    except CycloptsError:
        return 2
    except Refused as refused:
        return _complain(str(refused), 1)
    except TROUBLE as trouble:
        return _complain(str(trouble), 2)
    except Undecodable:
        return _complain("the log holds a definition that a newer version of Afflux wrote", 2)
    except KafkaException as error:
        return _complain(f"Kafka refused or went away: {error.args[0].str()}", 2)
    except KeyboardInterrupt:
        return 130
    return code if isinstance(code, int) else 0


@app.command
def validate(folder: Folder, /, *, allow_literal_secrets: Literals = False) -> int:
    """Check a workspace folder: every error at once, with file, line and place.

    Needs no broker. Exit code 1 when something is wrong. A running platform, if one answers, is
    asked which events ever came; a segment that names another gets a warning.

    Parameters
    ----------
    folder:
        Folder of YAML files, at any depth.
    allow_literal_secrets:
        Take secrets that are written out instead of env:NAME or file:PATH.
    """
    workspace = check_workspace(folder, allow_literal_secrets=allow_literal_secrets)
    for fault in (*workspace.faults, *_warnings(workspace)):
        print(fault)
    if not workspace.faults:
        print(f"{len(workspace.documents)} documents, nothing wrong")
    return 1 if workspace.faults else 0


@app.command
def diff(folder: Folder, /, *, allow_literal_secrets: Literals = False) -> int:
    """Show what `afflux apply` would change, one line each; changes nothing.

    Parameters
    ----------
    folder:
        Folder of YAML files, at any depth.
    allow_literal_secrets:
        Take secrets that are written out instead of env:NAME or file:PATH.
    """
    documents = applying.valid_documents(folder, allow_literal_secrets=allow_literal_secrets)
    _show(applying.difference(read(ControlSettings).kafka_bootstrap, documents))
    return 0


@app.command
def apply(
    folder: Folder,
    /,
    *,
    prune: Annotated[bool, Switch] = False,
    allow_literal_secrets: Literals = False,
) -> int:
    """Bring a workspace folder into force: all of it, or nothing.

    What did not change keeps its version, so applying twice changes nothing.

    Parameters
    ----------
    folder:
        Folder of YAML files, at any depth.
    prune:
        Archive what is in force but no longer in the files.
    allow_literal_secrets:
        Take secrets that are written out instead of env:NAME or file:PATH.
    """
    documents = applying.valid_documents(folder, allow_literal_secrets=allow_literal_secrets)
    settings = read(ControlSettings)
    plan = applying.apply(
        settings.kafka_bootstrap,
        documents,
        partitions=settings.partitions,
        prune=prune,
        waiting=lambda: print("another apply goes first; waiting", file=sys.stderr),
    )
    _show(plan)
    return 0


@app.command
def status() -> int:
    """Show every service, segment and destination: whether it works, and what it runs.

    AFFLUX_STATUS_URLS names the addresses, comma separated; without it those of `afflux dev`.
    Exit code 1 when a service does not answer or is not ready.
    """
    answers = ask_all(_status_urls(read(ControlSettings)))
    console().print(status_table(answers))
    if (segments := segments_table(answers)).row_count:
        console().print(segments)
    if (destinations := destinations_table(answers)).row_count:
        console().print(destinations)
        for sentence in mending(answers):
            print(sentence)
    if (spools := spool_table(answers)).row_count:
        console().print(spools)
    if (topics := warehouse_table(answers)).row_count:
        console().print(topics)
    well = all(isinstance(answer, ServiceStatus) and answer.ready for answer in answers)
    return 0 if well else 1


@app.command
def dev(*, workspace: Annotated[Path | None, Parameter(validator=_A_FOLDER)] = None) -> int:
    """Run the whole platform on this machine until Ctrl-C: Kafka, PostgreSQL, all services.

    Data and logs are kept under .afflux of the current directory.

    Parameters
    ----------
    workspace:
        Folder to apply once everything runs.
    """
    develop(read(ControlSettings), workspace)
    return 0


def _warnings(workspace: Workspace) -> list[Fault]:
    if not any(True for document in workspace.documents for _ in named_events(document.body)):
        return []
    seen = seen_events(ask_all(_status_urls(read(ControlSettings))))
    return [] if seen is None else list(unseen_events(workspace.documents, seen))


def _status_urls(settings: ControlSettings) -> list[str]:
    named = [url.strip() for url in settings.status_urls.split(",") if url.strip()]
    return named or default_status_urls(settings.first_health_port)


def _show(plan: Plan) -> None:
    for line in plan.lines():
        print(line)
    if not plan.changes:
        print("nothing to change")


def _complain(sentence: str, code: int) -> int:
    print(sentence, file=sys.stderr)
    return code
