"""`afflux audit`: recompute memberships from the log by SQL and compare."""

from typing import Annotated

import msgspec
from cyclopts import Parameter
from cyclopts.validators import Number
from rich.console import Console

from services.control.audited import audit_document, audit_lines, audit_table
from services.control.broker import broker
from services.control.console import console
from services.control.segments_in_force import newest_segments, segment_named
from services.control.settings import ControlSettings
from services.runtime.settings import read
from services.segmenter import audit as auditing
from services.segmenter.settings import SegmenterSettings


def audit(
    *,
    segment: str | None = None,
    sample: Annotated[float, Parameter(validator=Number(gt=0, lte=100))] = 100,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Recompute memberships from the log by SQL and compare them with what was decided.

    The log is read up to what the running segmenter has committed, so it may go on working. What
    the log is too short for is named and not compared. Exit code 1 when anything differs.

    Parameters
    ----------
    segment:
        Only this segment.
    sample:
        Percent of all profiles, chosen by a hash of their ids.
    as_json:
        Print one JSON document.
    """
    bootstrap = read(ControlSettings).kafka_bootstrap
    broker(bootstrap)
    newest = newest_segments(bootstrap)
    if segment is not None:
        segment_named(segment, newest)
    errors = Console(stderr=True)
    with errors.status("reading the log") as status:
        found = auditing.audit(
            bootstrap,
            newest,
            auditing.Manner(
                share=sample / 100,
                limit=read(SegmenterSettings).most_entries,
                progress=lambda count: status.update(f"reading the log: {count:,} records"),
            ),
            only=segment,
        )
    if as_json:
        print(msgspec.json.encode(audit_document(found)).decode())
    else:
        console().print(audit_table(found))
        for line in audit_lines(found):
            print(line)
    return 1 if found.differences else 0
