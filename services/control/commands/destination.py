"""`afflux destination test`: whether a destination could work, without changing anything there."""

import asyncio
import json
from collections.abc import Iterator
from typing import Annotated

from cyclopts import Parameter

from services.activator.clock import SystemClock
from services.activator.rehearsal import Finding, rehearse
from services.control.destinations import definition_of
from services.control.settings import ControlSettings
from services.runtime.secrets import resolve
from services.runtime.settings import read


def try_out(
    destination: str,
    /,
    *,
    offline: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Try a destination: its secrets, its credentials, its audiences, and one request.

    The request is sent only where the platform has a mode that changes nothing; else it is shown.
    Exit code 1 when something is wrong.

    Parameters
    ----------
    destination:
        The id of the destination.
    offline:
        Call nobody; only show the request.
    """
    definition = definition_of(read(ControlSettings), destination)
    findings = asyncio.run(rehearse(definition, resolve, SystemClock(), offline=offline))
    for line in _lines(findings):
        print(line)
    return 0 if all(finding.is_well for finding in findings) else 1


def _lines(findings: list[Finding]) -> Iterator[str]:
    for finding in findings:
        yield f"{'well ' if finding.is_well else 'WRONG'}  {finding.sentence}"
        if finding.shown is not None:
            yield json.dumps(finding.shown, indent=2, ensure_ascii=False)
