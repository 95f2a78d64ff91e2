"""`python -m deploy.local [directory]`: the local stack alone, until Ctrl-C."""

import signal
import sys
from contextlib import suppress
from pathlib import Path

from deploy.local.errors import LocalStackError
from deploy.local.stack import ended_by_signals, local_stack


def main(arguments: list[str]) -> int:
    data_dir = Path(arguments[0] if arguments else ".afflux")
    with ended_by_signals(), suppress(KeyboardInterrupt):
        try:
            with local_stack(data_dir) as stack:
                print(f"AFFLUX_KAFKA_BOOTSTRAP={stack.kafka.bootstrap}", flush=True)
                print(f"AFFLUX_POSTGRES_DSN={stack.postgres.dsn}", flush=True)
                signal.pause()
        except LocalStackError as error:
            print(error, file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
