"""`afflux resume`: a destination that was paused goes on."""

from services.activator import repair
from services.control.destinations import destination_of, with_ledger
from services.control.settings import ControlSettings
from services.runtime.settings import read


def resume(destination: str, /) -> int:
    """Let a paused destination go on, after what it ran into has been mended.

    Nothing was lost meanwhile: what waits is sent within a second. If the platform refuses again,
    the destination pauses again.

    Parameters
    ----------
    destination:
        The id of the destination.
    """
    settings = read(ControlSettings)
    destination_of(settings, destination)
    if with_ledger(settings, lambda c: repair.resume(c, destination)):
        print(f"{destination} goes on")
    else:
        print(f"{destination} is not paused")
    return 0
