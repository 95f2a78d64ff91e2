"""`afflux reconcile`: a platform's audiences are compared with the segments, and mended."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter
from rich.table import Table

from services.activator import repair
from services.activator.domain.destination import DestinationDefinition
from services.activator.repair import Drift, Target
from services.control.console import console
from services.control.destinations import destination_of, with_ledger
from services.control.settings import ControlSettings
from services.runtime.settings import read

Switch = Parameter(negative="")


def reconcile(
    destination: str,
    /,
    *,
    full: Annotated[bool, Switch] = False,
    dry_run: Annotated[bool, Switch] = False,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Show how far a destination's audiences are from their segments, and send what is missing.

    What was sent is known from the ledger; most platforms cannot be asked who is in an audience.
    Exit code 1 when there was a difference.

    Parameters
    ----------
    destination:
        The id of the destination.
    full:
        Send every member again, for a platform that has lost some; sets do not mind repeats.
    dry_run:
        Only show.
    as_json:
        Print one JSON document.
    """
    settings = read(ControlSettings)
    definition = destination_of(settings, destination)
    found = with_ledger(settings, lambda c: _reconcile(c, definition, full=full, sends=not dry_run))
    if as_json:
        print(msgspec.json.encode(found).decode())
    else:
        console().print(_table(found))
        print(_sentence(found, sends=not dry_run, full=full))
    return 1 if any(drift.missing or drift.extra for drift in found) else 0


async def _reconcile(
    connection: Any, definition: DestinationDefinition, *, full: bool, sends: bool
) -> Sequence[Drift]:
    is_ads = definition.destination.contract.category == "ads"
    found = []
    for audience_id in sorted(definition.audiences):
        drift = await repair.drift(connection, definition.id, audience_id)
        found.append(drift)
        if not sends:
            continue
        adds = await repair.members(connection, audience_id) if full else drift.missing
        for profiles, member in ((adds, True), (drift.extra, False)):
            target = Target(connection, definition.id, audience_id, is_ads)
            await repair.enqueue(target, profiles, member=member, now=datetime.now(UTC))
    return found


def _table(found: Sequence[Drift]) -> Table:
    table = Table("audience", "members", "there", "waiting", "withheld", "missing", "extra")
    for drift in found:
        counts = (drift.members, drift.there, drift.waiting, drift.withheld)
        table.add_row(
            drift.audience_id,
            *map(str, counts),
            str(len(drift.missing)),
            str(len(drift.extra)),
        )
    return table


def _sentence(found: Sequence[Drift], *, sends: bool, full: bool) -> str:
    missing = sum(len(drift.missing) for drift in found)
    extra = sum(len(drift.extra) for drift in found)
    if sends and full:
        return f"all members are sent again, {extra} are removed"
    if not missing and not extra:
        return "no difference"
    if not sends:
        return f"{missing} would be added and {extra} removed"
    return f"{missing} are added and {extra} removed; `afflux reconcile` again shows the progress"
