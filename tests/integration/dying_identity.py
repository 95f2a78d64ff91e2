"""Identity that kills itself once, between its database commit and its Kafka commit."""

import os
import signal
from collections.abc import Sequence
from pathlib import Path

from services.identity.app import main
from services.identity.streams import IdentityStage
from services.runtime.stage import Cycle, Received

DIED = "AFFLUX_TEST_DIED"
"""Names the file that says that it has happened."""


class Dying(IdentityStage):
    def decide(self, batch: Sequence[Received], cycle: Cycle) -> None:
        super().decide(batch, cycle)
        died = Path(os.environ[DIED])
        if not died.exists():
            died.touch()
            os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main(Dying)
