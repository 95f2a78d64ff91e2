"""Becomes a command that the kernel ends with its starter: `tied.py SIGNAL STARTER USER COMMAND…`.

A program of its own, since code between fork and exec of a process with threads can hang.
"""

import ctypes
import os
import pwd
import signal
import sys
from collections.abc import Sequence

PR_SET_PDEATHSIG = 1


def tied(command: Sequence[str], *, orphan_signal: signal.Signals, user: str = "") -> list[str]:
    """The command line under which `command` gets `orphan_signal` when its starter dies.

    The starter is the calling thread: start it from one that stays. `user` runs it as another.
    """
    ours = [sys.executable, "-I", "-S", __file__, str(int(orphan_signal)), str(os.getpid()), user]
    return [*ours, *command]


def main(orphan_signal: str, starter: str, user: str, *command: str) -> None:
    if user:
        _become(pwd.getpwnam(user))
    if sys.platform == "linux":
        # After the change of user, which would undo it.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(orphan_signal))
    if os.getppid() != int(starter):
        sys.exit("the starter is gone")
    os.execv(command[0], command)  # noqa: S606 (this is its purpose)


def _become(user: pwd.struct_passwd) -> None:
    os.setgroups([])
    os.setgid(user.pw_gid)
    os.setuid(user.pw_uid)


if __name__ == "__main__":
    main(*sys.argv[1:])
