"""Wiring of the management listener and of the regulator; both are there only with a token."""

import errno
import socket
from typing import Any

import structlog
from aiohttp import web
from pydantic import SecretStr

from services.ingest.archive import Archive
from services.ingest.domain.suppression import Digests
from services.ingest.letters import Letters
from services.ingest.management import Management
from services.ingest.migrations import STEPS
from services.ingest.privacy_log import PrivacyLog
from services.ingest.progress import Progress
from services.ingest.regulations import Regulations
from services.ingest.regulator import Regulator
from services.ingest.settings import Settings
from services.runtime.definitions import Definitions
from services.runtime.health import PortTaken
from services.runtime.postgres import connect, migrate

log = structlog.get_logger()

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
    """Answer calls and carry regulations out until cancelled."""
    pool = await connect(settings.postgres_dsn.get_secret_value(), size=POOL)
    try:
        await migrate(pool, "privacy", STEPS)
        await _serve(settings, definitions, at, pool)
    finally:
        pool.terminate()


async def _serve(
    settings: Settings, definitions: Definitions, at: socket.socket, pool: Any
) -> None:
    token, secret = settings.admin_token, settings.suppression_secret
    assert token is not None
    assert secret is not None
    regulations, progress = Regulations(pool), Progress(pool)
    regulator = _regulator(settings, secret, pool, regulations, progress)
    management = Management(
        regulations,
        progress,
        token,
        is_source=lambda source: ("source", source) in definitions.current(),
        wake=regulator.wake,
    )
    runner = web.AppRunner(management.application(), access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.SockSite(runner, at).start()
        host, port = at.getsockname()[:2]
        log.info("the management listener answers", host=host, port=port)
        await regulator.run()
    finally:
        await runner.cleanup()


def _regulator(
    settings: Settings,
    secret: SecretStr,
    pool: Any,
    regulations: Regulations,
    progress: Progress,
) -> Regulator:
    bootstrap, partitions = settings.kafka_bootstrap, settings.partitions
    return Regulator(
        pool,
        regulations,
        progress,
        log=PrivacyLog(bootstrap, partitions),
        archive=Archive(Letters(bootstrap, partitions, "afflux-letters"), regulations, progress),
        digests=Digests(secret.get_secret_value().encode()),
    )
