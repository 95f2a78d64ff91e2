"""`afflux segment pause` and `resume`: a segment's memberships stand still, and catch up."""

import sys

from schemas.records import State
from services.control.broker import broker
from services.control.changes import plan_state
from services.control.definitions_log import write_changes
from services.control.settings import ControlSettings
from services.runtime.settings import read


def pause(segment: str, /) -> int:
    """Keep the members of a segment as they are: nobody enters or leaves until it is resumed.

    It stays paused when its file is edited and applied.

    Parameters
    ----------
    segment:
        The id of the segment.
    """
    return _turn(segment, "paused", otherwise="is paused already")


def resume(segment: str, /) -> int:
    """Let a paused segment go on: what is different by now is told, once, cause `resume`.

    Parameters
    ----------
    segment:
        The id of the segment.
    """
    return _turn(segment, "live", otherwise="is not paused")


def _turn(segment: str, state: State, *, otherwise: str) -> int:
    bootstrap = read(ControlSettings).kafka_bootstrap
    broker(bootstrap)
    plan = write_changes(
        bootstrap,
        lambda in_force: plan_state(segment, state, in_force),
        lambda: print("an apply goes first; waiting", file=sys.stderr),
    )
    print("\n".join(plan.lines()) or f"{segment} {otherwise}")
    return 0
