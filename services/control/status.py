"""What each service says of itself at `/status`, side by side."""

import asyncio
from collections.abc import Sequence
from typing import Any

import aiohttp
import msgspec
from rich.table import Table

TIMEOUT_S = 3.0


class ServiceStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One process: whether it works, and which version of each definition it runs."""

    service: str
    worker: int
    ready: bool
    reason: str | None = None
    definitions: dict[str, int] = {}


class Silent(msgspec.Struct, frozen=True):
    """Nothing, or nothing sensible, answered at this address."""

    url: str
    why: str


Answer = ServiceStatus | Silent


def ask_all(urls: Sequence[str]) -> list[Answer]:
    """The answers in the order of the addresses; all are asked at once."""
    return asyncio.run(_ask_all(urls))


async def _ask_all(urls: Sequence[str]) -> list[Answer]:
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        return await asyncio.gather(*(_ask(session, url) for url in urls))


async def _ask(session: aiohttp.ClientSession, url: str) -> Answer:
    try:
        async with session.get(f"{url.rstrip('/')}/status") as response:
            if response.status != 200:
                return Silent(url, f"answered {response.status}")
            return msgspec.json.decode(await response.read(), type=ServiceStatus)
    except (aiohttp.ClientError, TimeoutError, OSError):
        return Silent(url, "does not answer")
    except msgspec.MsgspecError:
        return Silent(url, "answers something else than a status")


def status_table(answers: Sequence[Answer]) -> Table:
    """One row a process. A version that others are ahead of is followed by theirs."""
    newest = _newest(answers)
    table = Table("service", "worker", "ready", "definitions")
    for answer in answers:
        match answer:
            case Silent(url, why):
                table.add_row(url, "", f"no: {why}", "")
            case ServiceStatus():
                ready = "yes" if answer.ready else f"no: {answer.reason}"
                versions = _versions(answer.definitions, newest)
                table.add_row(answer.service, str(answer.worker), ready, versions)
    return table


def _newest(answers: Sequence[Answer]) -> dict[str, int]:
    newest: dict[str, Any] = {}
    for answer in answers:
        if isinstance(answer, ServiceStatus):
            for key, version in answer.definitions.items():
                newest[key] = max(version, newest.get(key, 0))
    return newest


def _versions(definitions: dict[str, int], newest: dict[str, int]) -> str:
    return "\n".join(
        f"{key} {version}" + (f" (newest {newest[key]})" if newest[key] > version else "")
        for key, version in sorted(definitions.items())
    )
