"""`make demo`: real traffic through the whole path, and the proof that the result is right."""

import os
import secrets
import shutil
import statistics
import sys
import time
from base64 import b64encode
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from urllib.request import urlopen

import cyclopts

from deploy.local.errors import LocalStackError
from deploy.local.stack import ended_by_signals
from examples.shop import platforms
from examples.shop.database import DOCUMENTS, SEGMENT, SOURCE, Database
from examples.shop.receiver import Call, Receiver
from examples.shop.recompute import Expected, differences, recompute
from examples.shop.screen import Figures, Screen, latency
from examples.shop.story import told
from examples.shop.traffic import Traffic
from examples.shop.watcher import Watcher
from schemas.records import MembershipChanged
from services.control.apply import apply, valid_documents
from services.control.platform import Platform, PlatformFailed, running_platform
from tests.stub.server import Stub
from tests.stub.serving import serving

DATA_DIR = Path(".afflux/demo")
WORKSPACE = Path(__file__).with_name("workspace")
SEGMENTS = (
    "abandoned-cart",
    "big-spenders",
    "pro-plan",
    "active-now",
    "gold-shoppers",
    "waiting-visitors",
)
PARTITIONS = 3
PATIENCE_S = 60.0
REFRESH_S = 0.25

app = cyclopts.App(name="make demo", help=__doc__, version_flags=())


class TooLate(RuntimeError):
    """Something that takes a moment did not happen in a minute."""


@app.default
def main(*, once: bool = False, visitors: int = 300, seconds: int = 45, seed: int = 1) -> int:
    """Run a shop of simulated visitors against a platform of its own.

    Parameters
    ----------
    once
        End by itself after `seconds`, compare with SQL, exit 0 only if all is equal.
        Without it: the same at Ctrl-C.
    visitors
        How many simulated people come.
    seconds
        How long they come, with --once.
    seed
        Of their decisions.
    """
    try:
        with ended_by_signals():
            return _demo(once=once, visitors=visitors, seconds=seconds, seed=seed)
    except (LocalStackError, PlatformFailed, TooLate) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _demo(*, once: bool, visitors: int, seconds: int, seed: int) -> int:
    shutil.rmtree(DATA_DIR, ignore_errors=True)
    write_key, secret = (
        secrets.token_hex(16),
        "whsec_" + b64encode(secrets.token_bytes(24)).decode(),
    )
    keys = {"SHOP_WRITE_KEY": write_key, "SHOP_ADS_SECRET": secret, **platforms.TOKENS}
    environment = {**os.environ, **keys, "AFFLUX_TENANT_KEY": secrets.token_hex(16)}
    screen = Screen()
    screen.say("starting Kafka, PostgreSQL and the services …")
    with (
        closing(Receiver(secret)) as receiver,
        serving() as stub,
        running_platform(
            DATA_DIR, partitions=PARTITIONS, durable=False, environment=environment
        ) as platform,
        closing(Watcher(platform.bootstrap, PARTITIONS)) as watcher,
    ):
        database = Database(platform.dsn, DATA_DIR / "shop.dsn", visitors, seed)
        workspace = _workspace(receiver)
        apply(platform.bootstrap, valid_documents(workspace), partitions=PARTITIONS)
        _until(lambda: watcher.built >= PARTITIONS, "the segments in force")
        _until(lambda: _is_ready(platform), "the sender ready")
        traffic = Traffic(platform.ingest_urls[0], write_key, visitors, seed)
        traffic.start()
        database.start()
        try:
            _follow(screen, platform, workspace, stub)
            _show(screen, receiver, watcher, seconds if once else None, platform)
        finally:
            database.stop()
            traffic.stop()
        expected = _judge(screen, receiver, watcher, traffic, database)
        return 0 if expected and _judge_platforms(screen, stub, expected) else 1


def _workspace(receiver: Receiver) -> Path:
    """The shop's workspace with its database, and the receiver's address in it."""
    copy = DATA_DIR / "workspace"
    shutil.copytree(WORKSPACE, copy)
    shutil.copy(DOCUMENTS, copy)
    for file in copy.glob("*.yaml"):
        text = file.read_text(encoding="utf-8")
        file.write_text(text.replace("http://127.0.0.1:9009/ads", receiver.url), encoding="utf-8")
    return copy


def _follow(screen: Screen, platform: Platform, workspace: Path, stub: Stub) -> None:
    """Two destinations more, while the shop is open: who is a member already is sent first."""
    (workspace / "platforms.yaml").write_text(platforms.documents(stub), encoding="utf-8")
    apply(platform.bootstrap, valid_documents(workspace), partitions=PARTITIONS)
    screen.say(f"from now on Meta and HubSpot follow the segment {platforms.SEGMENT} as well")


def _is_ready(platform: Platform) -> bool:
    """Whether the destination's sender works; it answers on the port after its supervisor's."""
    (supervisor,) = (p for p in platform.processes if p.service == "senders")
    address = f"http://127.0.0.1:{supervisor.health_port + 1}/readyz"
    try:
        with urlopen(address, timeout=2):
            return True
    except OSError:
        return False


def _show(
    screen: Screen,
    receiver: Receiver,
    watcher: Watcher,
    seconds: int | None,
    platform: Platform,
) -> None:
    began = time.monotonic()
    screen.say(f"the shop is open: {platform.ingest_urls[0]}; Ctrl-C closes it")
    with screen, suppress(KeyboardInterrupt):
        while seconds is None or time.monotonic() - began < seconds:
            screen.show(_figures(receiver, watcher, time.monotonic() - began))
            time.sleep(REFRESH_S)


def _figures(receiver: Receiver, watcher: Watcher, seconds: float) -> Figures:
    latencies = _latencies(receiver, watcher)
    cuts = statistics.quantiles(latencies, n=100) if len(latencies) > 1 else None
    return Figures(
        seconds=seconds,
        events=len(watcher.events),
        events_per_second=len(watcher.events) / max(seconds, 0.001),
        profiles=len(watcher.profiles),
        members={name: watcher.members(name) for name in SEGMENTS},
        deliveries=len(receiver.calls),
        p50_ms=None if cuts is None else cuts[49],
        p99_ms=None if cuts is None else cuts[98],
        story=told(list(receiver.calls)),
    )


def _latencies(receiver: Receiver, watcher: Watcher) -> list[int]:
    """Milliseconds from HTTP accept to the webhook call, of all changes that an event caused."""
    found = []
    for call in list(receiver.calls):
        change = watcher.changes.get((call.audience_id, call.profile_id, call.version))
        if change is not None and change.received_at is not None:
            found.append(call.arrived_at - change.received_at)
    return found


def _judge(
    screen: Screen, receiver: Receiver, watcher: Watcher, traffic: Traffic, database: Database
) -> Expected | None:
    """Compare what the receiver was told with SQL, at one instant after the last event; what SQL
    says if they are equal."""
    screen.say("the shop is closed; waiting until everything is delivered …")
    _until(lambda: watcher.heard("web") >= traffic.sent, "all events in the log")
    _until(lambda: watcher.heard(SOURCE) >= database.changes, "all rows in the log")
    _until(lambda: _is_told(receiver, watcher, None), "all changes delivered")
    now = round(time.time() * 1000)
    time.sleep(3)
    _until(lambda: _is_told(receiver, watcher, now), "all changes delivered")
    expected = recompute(watcher.events, now, database.content())
    wrong = differences(receiver.audiences(now), expected)
    figures = _figures(receiver, watcher, 0)
    for line in figures.story if screen.console.is_terminal else ():
        screen.say(line)
    for line in wrong:
        screen.say(line)
    screen.say(
        f"{figures.events} events, {figures.profiles} profiles, {figures.deliveries} deliveries,"
        f" {receiver.refused} refused; HTTP accept to webhook {latency(figures)}"
    )
    took = database.ada_took_ms(receiver.calls)
    screen.say(f"from Ada's row in SQL to the platform, as one of the {SEGMENT}: {took} ms")
    verdict = "EQUAL" if not wrong else f"{len(wrong)} DIFFERENCES"
    screen.say(
        f"the receiver's audiences against SQL over the accepted events and rows,"
        f" {len(expected.members)} memberships: {verdict}"
    )
    return expected if expected.members and not wrong else None


def _judge_platforms(screen: Screen, stub: Stub, expected: Expected) -> bool:
    """Compare whom Meta and HubSpot hold with SQL; nobody enters or leaves the pro plan now."""
    with suppress(TooLate):
        _until(lambda: not platforms.differences(stub, expected), "the platforms' sets")
    wrong = platforms.differences(stub, expected)
    for line in wrong:
        screen.say(line)
    counts = ", ".join(
        f"{platform} {len(platforms.held(stub, platform))}" for platform in platforms.KNOWS_BY
    )
    verdict = "EQUAL" if not wrong else f"{len(wrong)} DIFFERENCES"
    screen.say(f"the stub's sets of the {platforms.SEGMENT} ({counts}) against SQL: {verdict}")
    return not wrong


def _is_told(receiver: Receiver, watcher: Watcher, until: int | None) -> bool:
    """Whether the receiver knows of every membership that changed by then."""
    newest: dict[tuple[str, str], Call] = {}
    for call in sorted(receiver.calls, key=lambda call: call.version):
        newest[call.audience_id, call.profile_id] = call
    return all(
        is_known(change, newest.get(pair))
        for pair, change in list(watcher.memberships.items())
        if until is None or change.occurred_at <= until
    )


def is_known(change: MembershipChanged, last: Call | None) -> bool:
    """Whether nothing is left to say. An entry and an exit at one instant need no call: whoever
    was last told that somebody is out, or never that they are in, knows it already."""
    is_in = last is not None and last.member
    return not (is_in or change.member) or (last is not None and last.version >= change.sequence)


def _until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        if time.monotonic() > deadline:
            raise TooLate(f"{what}: not within {PATIENCE_S:.0f} s; see {DATA_DIR / 'logs'}")
        time.sleep(0.1)


if __name__ == "__main__":
    sys.exit(app())
