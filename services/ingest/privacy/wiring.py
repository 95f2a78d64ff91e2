"""Wiring of the management listener and of the regulator; both are there only with a token."""

import asyncio
import errno
import socket
from typing import Any

import structlog
from aiohttp import web

from services.ingest.domain.suppression import Digests
from services.ingest.privacy.archive import Archive
from services.ingest.privacy.commands import Commands
from services.ingest.privacy.commands_log import CommandsLog
from services.ingest.privacy.letters import Letters
from services.ingest.privacy.listener import Management
from services.ingest.privacy.migrations import STEPS
from services.ingest.privacy.progress import Progress
from services.ingest.privacy.regulations import Regulations
from services.ingest.privacy.regulator import Regulator
from services.ingest.privacy.suppressed import Suppressed
from services.ingest.settings import Settings
from services.runtime.definitions import Definitions
from services.runtime.health import PortTaken
from services.runtime.postgres import connect, migrate

log = structlog.get_logger()

RETRY_S = 2.0
POOL = 4
"""One connection holds the regulator's lock."""


def door(settings: Settings) -> socket.socket | None:
    """Where the management listener will answer; None when there is none.

    Raises:
        PortTaken: somebody else is there.
    """
    if settings.admin_token is None:
        return None
    try:
        return socket.create_server((settings.management_host, settings.management_port))
    except OSError as error:
        place = f"{settings.management_host}:{settings.management_port}"
        taken = error.errno == errno.EADDRINUSE
        reason = f"{place} is taken" if taken else f"cannot listen on {place}"
        raise PortTaken(f"{reason}; set AFFLUX_MANAGEMENT_PORT or _HOST") from error


async def manage(settings: Settings, definitions: Definitions, at: socket.socket) -> None:
    """Answer calls and carry regulations out until cancelled; whatever goes wrong here, ingest
    goes on."""
    while True:
        try:
            await _manage(settings, definitions, at.dup())
        except Exception as error:
            log.error("the management listener begins anew", error=type(error).__name__)
        await asyncio.sleep(RETRY_S)


async def _manage(settings: Settings, definitions: Definitions, at: socket.socket) -> None:
    pool = await connect(settings.postgres_dsn.get_secret_value(), size=POOL)
    try:
        await migrate(pool, "privacy", STEPS)
        regulator = _regulator(settings, pool)
        await _serve(_management(settings, definitions, pool, regulator), at, regulator)
    finally:
        pool.terminate()


async def _serve(management: Management, at: socket.socket, regulator: Regulator) -> None:
    runner = web.AppRunner(management.application(), access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.SockSite(runner, at).start()
        host, port = at.getsockname()[:2]
        log.info("the management listener answers", host=host, port=port)
        await regulator.run()
    finally:
        await runner.cleanup()


def _management(
    settings: Settings, definitions: Definitions, pool: Any, regulator: Regulator
) -> Management:
    assert settings.admin_token is not None
    return Management(
        regulator.regulations,
        regulator.suppressed,
        regulator.progress,
        settings.admin_token,
        is_source=lambda source: ("source", source) in definitions.current(),
        wake=regulator.wake,
    )


def _regulator(settings: Settings, pool: Any) -> Regulator:
    assert settings.suppression_secret is not None
    secret = settings.suppression_secret.get_secret_value().encode()
    bootstrap, partitions = settings.kafka_bootstrap, settings.partitions
    return regulator_on(pool, bootstrap, partitions, secret)


def regulator_on(pool: Any, bootstrap: str, partitions: int, secret: bytes) -> Regulator:
    """Everything it works with, on one pool and one broker."""
    regulations, progress = Regulations(pool), Progress(pool)
    letters = Letters(bootstrap, partitions, "afflux-letters")
    return Regulator(
        pool=pool,
        regulations=regulations,
        suppressed=Suppressed(pool),
        progress=progress,
        archive=Archive(pool, letters, regulations, progress),
        log=CommandsLog(bootstrap, partitions),
        commands=Commands(Digests(secret)),
    )
