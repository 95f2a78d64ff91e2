"""Ports of the local stack: the one that a setting names, or a free one."""

import random
import socket
from collections.abc import Callable, Mapping
from pathlib import Path

from deploy.local.errors import LocalStackError, PortTaken

HOST = "127.0.0.1"
LOWEST = 15_000
LINUX_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")


def port_setting(environment: Mapping[str, str], setting: str) -> int | None:
    text = environment.get(setting, "")
    if not text:
        return None
    if not (text.isdecimal() and 0 < int(text) < 65_536):
        raise LocalStackError(f"{setting} must be a port from 1 to 65535")
    return int(text)


def port_named_or_free(named: int | None, *, setting: str) -> int:
    """The named port if it can be listened on, else a complaint; without a name a free port."""
    if named is None:
        return free_port()
    if not is_free(named):
        raise PortTaken(named, setting)
    return named


def free_port(usable: Callable[[int], bool] | None = None) -> int:
    """A port below those that the system gives to outgoing connections.

    A server must come back on its port after a restart. From the outgoing range, a client that
    retries meanwhile can be given that very port and connect to itself.
    """
    usable = usable or is_free
    highest = _first_ephemeral() - 1
    for _ in range(1000):
        port = random.randint(LOWEST, highest)  # noqa: S311 (no secret: which port is free)
        if usable(port):
            return port
    raise LocalStackError(f"no free port between {LOWEST} and {highest} on {HOST}")


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        # Connections of an ended server may linger; they hinder no new one.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((HOST, port)) == 0


def _first_ephemeral() -> int:
    try:
        first = int(LINUX_EPHEMERAL.read_text().split()[0])
    except OSError:
        return 32_768
    return first if first > LOWEST + 1000 else 32_768
