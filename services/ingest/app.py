"""Wiring: the only place that builds clients, reads settings and answers signals."""

import asyncio
import errno
import gc
import logging
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from secrets import token_bytes
from uuid import uuid4

import msgspec
import structlog
import uvloop
from aiohttp import web

from services.ingest.budget import Budget
from services.ingest.desk import Desk
from services.ingest.domain.decode import LONG_INTEGER
from services.ingest.front import Front
from services.ingest.handlers import Collector
from services.ingest.last_known import LastKnown
from services.ingest.memory import Recent
from services.ingest.outgoing import Reason
from services.ingest.privacy.wiring import door, manage
from services.ingest.producer import Broker
from services.ingest.sender import Sender
from services.ingest.server import Patience, Server
from services.ingest.settings import Settings
from services.ingest.sources import Sources
from services.ingest.spool import Spool
from services.ingest.spool_erasure import SpoolErasure
from services.ingest.spool_files import SpoolFiles, SpoolRefused
from services.ingest.suppressed import Kept, Suppressions
from services.ingest.tokens import Tokens
from services.ingest.workspace import Records, Workspace
from services.runtime import logs
from services.runtime.definitions import Definitions
from services.runtime.health import Health, PortTaken, serve
from services.runtime.settings import read

log = structlog.get_logger()

WATCH_S = 0.5
LACKS: Mapping[Reason, str] = {
    "definitions": "waiting for Kafka: the write keys were never known here",
    "suppressed": "waiting for Kafka: who is suppressed is not known here",
    "broker": "waiting for Kafka: events cannot be stored",
}
"""What is said of a process that takes no events."""
GARBAGE = 20_000
"""Objects made and not freed after which the collector looks for cycles among them."""


def main() -> None:
    """Serve until told to stop; exit 1 with a sentence when that is not possible."""
    settings = read(Settings)
    sys.set_int_max_str_digits(LONG_INTEGER)
    logs.configure("ingest", settings.log_level)
    # aiokafka repeats itself ten times a second in an outage; the sender says it once.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    # aiohttp quotes what it cannot parse, and that may be somebody's data.
    logging.getLogger("aiohttp").setLevel(logging.CRITICAL)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run(settings))
    except (PortTaken, SpoolRefused) as refused:
        print(refused, file=sys.stderr)
        sys.exit(1)


async def run(settings: Settings) -> None:
    """Everything, from the first log line to the last acknowledgement."""
    stop = _on_signals()
    management = door(settings)
    spool = await _spool(settings)
    known = _known(settings, spool)
    await asyncio.to_thread(known.load)
    sender = _sender(settings, spool, known)
    health = Health("ingest", settings.worker)
    health_server = serve(health, settings.health_host, settings.health_port)
    log.info("health is served", host=settings.health_host, port=health_server.port)
    health.definitions = known.definitions.versions
    health.details = lambda: {"spool": msgspec.to_builtins(sender.standing())}
    desk = _desk(settings, known.workspace)
    collector = _collector(settings, desk, sender, known.suppressions)
    front = Front(collector, desk, outage_status=settings.ingest_outage_status)
    server = Server(front, _patience(settings))
    runner = web.ServerRunner(server, shutdown_timeout=1)
    try:
        await _listen(runner, settings)
        await collector.judges.start()
        _spare_the_collector()
        known.start()
        async with asyncio.TaskGroup() as background:
            sending = background.create_task(sender.run())
            aside = [
                background.create_task(_watch(collector, health)),
                background.create_task(server.watch()),
                background.create_task(known.workspace.keep()),
            ]
            if management is not None:
                managing = manage(settings, known.definitions, management)
                aside.append(background.create_task(managing))
            await stop.wait()
            log.info("stopping")
            for task in aside:
                task.cancel()
            health.not_ready("stopping")
            await _finish(runner, front, settings)
            sending.cancel()
    finally:
        await runner.cleanup()
        await collector.judges.close()
        sender.close()
        await asyncio.to_thread(known.close)
        await asyncio.to_thread(health_server.close)


def _spare_the_collector() -> None:
    """What is here now stays, and requests leave little that only a collection frees."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE, 20, 100)


async def _spool(settings: Settings) -> Spool | None:
    directory = _spool_directory(settings)
    if directory is None:
        log.warning(
            "no spool: while the broker is away every event is refused, and browsers, pixels, Jitsu"
            " and some server libraries never send it again; set AFFLUX_INGEST_SPOOL_DIR"
        )
        return None
    files = await asyncio.to_thread(SpoolFiles, directory)
    log.info("the spool is open", records=files.records, bytes=files.bytes)
    return Spool(files, settings.ingest_spool_bytes)


def _patience(settings: Settings) -> Patience:
    return Patience(settings.ingest_request_s, settings.ingest_idle_s, settings.ingest_connections)


@dataclass(frozen=True, slots=True)
class _Known:
    """What comes from the log and is needed to take events."""

    definitions: Definitions
    workspace: Workspace
    suppressions: Suppressions

    def load(self) -> None:
        """As it was known last."""
        self.workspace.load()
        self.suppressions.load()

    def start(self) -> None:
        self.definitions.start()
        self.suppressions.start()

    def close(self) -> None:
        self.definitions.close()
        self.suppressions.close()


def _known(settings: Settings, spool: Spool | None) -> _Known:
    bootstrap, secret = settings.kafka_bootstrap, settings.suppression_secret
    definitions = Definitions(bootstrap)
    erasure = SpoolErasure(spool, secret) if spool is not None and secret is not None else None
    directory = _spool_directory(settings)
    if directory is None:
        return _Known(definitions, Workspace(definitions), Suppressions(bootstrap, secret))
    return _Known(
        definitions,
        Workspace(definitions, LastKnown(directory / "definitions.known", Records)),
        Suppressions(bootstrap, secret, erasure, LastKnown(directory / "suppressed.known", Kept)),
    )


def _spool_directory(settings: Settings) -> Path | None:
    """Each worker has its own."""
    root = settings.ingest_spool_dir
    return None if root is None else root / str(settings.worker)


def _sender(settings: Settings, spool: Spool | None, known: _Known) -> Sender:
    return Sender(
        Broker(settings.kafka_bootstrap, settings.partitions),
        spool,
        linger=settings.ingest_linger_ms / 1000,
        deadline=settings.ingest_deadline_ms / 1000,
        backlog=settings.ingest_backlog_bytes,
        may_produce=lambda: known.suppressions.is_confirmed,
    )


def _desk(settings: Settings, workspace: Workspace) -> Desk:
    public_url = str(settings.ingest_public_url) if settings.ingest_public_url else None
    stated = settings.ingest_token_secret
    # Without a secret of its own a process takes its own tokens only.
    secret = stated.get_secret_value().encode() if stated else token_bytes(32)
    return Desk(Sources(workspace), Tokens(secret, public_url=public_url), public_url)


def _collector(
    settings: Settings, desk: Desk, sender: Sender, suppressions: Suppressions
) -> Collector:
    return Collector(
        keys=desk.keys,
        log=sender,
        tokens=desk.tokens,
        suppressed=suppressions,
        memory=Recent(settings.ingest_remembered_ids),
        bodies=Budget(settings.ingest_body_bytes),
        limits=settings.limits(),
        trusted_proxies=settings.ingest_trusted_proxies,
        new_id=lambda: str(uuid4()),
    )


async def _finish(runner: web.ServerRunner, front: Front, settings: Settings) -> None:
    """Take no more connections, answer what is in flight; it still needs the sender."""
    for site in runner.sites:
        await site.stop()
    await front.finish(settings.ingest_shutdown_s)
    await runner.cleanup()


async def _listen(runner: web.ServerRunner, settings: Settings) -> None:
    host, port = settings.ingest_host, settings.ingest_port
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, backlog=1024).start()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            sentence = f"port {port} is taken; set AFFLUX_INGEST_PORT to another"
        else:
            sentence = f"cannot listen on {host}; set AFFLUX_INGEST_HOST to an address of this host"
        raise PortTaken(sentence) from error
    address = runner.addresses[0]
    log.info("listening", host=address[0], port=address[1])


async def _watch(collector: Collector, health: Health) -> None:
    while True:
        lacks = collector.lacks
        if lacks is None:
            health.ready()
        else:
            health.not_ready(LACKS[lacks])
        await asyncio.sleep(WATCH_S)


def _on_signals() -> asyncio.Event:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop
