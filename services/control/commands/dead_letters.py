"""`afflux dead-letters`: what could not be taken; looked at, tried again, or given up."""

import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any

from cyclopts import App, Parameter

from schemas.records import DeadLetter
from services.activator import repair
from services.control import dead_letters as letters
from services.control.console import console
from services.control.destinations import with_ledger
from services.control.instants import past_instant
from services.control.settings import ControlSettings
from services.runtime.settings import read

SENDER = "sender"

dead_letters = App(name="dead-letters", help="Look at what could not be taken.")


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Which:
    """Which letters are meant; all of them unless said."""

    code: Annotated[str | None, Parameter(name=("--code", "--reason"))] = None
    "Only those with this code."
    stage: str | None = None
    "Only those of this stage."
    source: Annotated[str | None, Parameter(name=("--source", "--destination"))] = None
    "Only those of this source or destination."
    since: str | None = None
    "Only those from this instant on, such as 2026-11-25T08:00:00Z or a date."
    until: str | None = None
    "Only those before this instant."

    def filter(self) -> letters.Filter:
        return letters.Filter(
            self.code,
            self.stage,
            self.source,
            None if self.since is None else past_instant(self.since),
            None if self.until is None else past_instant(self.until),
        )


ANY = Which()


@dead_letters.command(name="list")
def list_letters(which: Which = ANY, *, last: int = 50) -> int:
    """List dead letters, oldest first; never what was in them.

    Parameters
    ----------
    last:
        At most so many, the newest.
    """
    found = _read(which)
    console().print(letters.letters_table(found[-last:] if last > 0 else ()))
    return 0


@dead_letters.command
def count(which: Which = ANY) -> int:
    """Count dead letters by code, stage and source."""
    console().print(letters.counts_table(_read(which)))
    return 0


@dead_letters.command
def show(which: Which = ANY, *, raw: Annotated[bool, Parameter(negative="")] = False) -> int:
    """Show the newest dead letter in full.

    Parameters
    ----------
    raw:
        Print the bytes as they came, which may hold personal data.
    """
    found = _read(which)
    if not found:
        print("no such dead letter", file=sys.stderr)
        return 1
    for line in letters.letter_lines(found[-1], raw=raw):
        print(line)
    return 0


@dead_letters.command
def replay(which: Which = ANY) -> int:
    """Send again what a destination was given up on, once the cause is mended.

    Only letters of senders, and only where nothing newer was sent of the same profile and audience.
    """
    return _each_destination(which, repair.replay, "sent again")


@dead_letters.command
def discard(which: Which = ANY) -> int:
    """Give up for good what a destination was given up on, and forget who it was about.

    At least one of the options says which.
    """
    if which == ANY:
        print("say which: with --destination, --reason, --since or --until", file=sys.stderr)
        return 2
    return _each_destination(which, repair.discard, "discarded")


Mend = Callable[[Any, str, Sequence[str], datetime], Awaitable[int]]


def _each_destination(which: Which, mend: Mend, done: str) -> int:
    found = [letter for letter in _read(which) if letter.stage == SENDER]
    destinations = sorted({letter.source_id for letter in found if letter.source_id})
    for destination in destinations:
        keys = [each.request_id for each in found if each.source_id == destination]
        known = [key for key in keys if key is not None]
        changed = with_ledger(read(ControlSettings), partial(_mended, mend, destination, known))
        print(f"{destination}: {changed} of {len(keys)} {done}")
    if not destinations:
        print("no such dead letter of a destination", file=sys.stderr)
    return 0 if destinations else 1


async def _mended(mend: Mend, destination: str, keys: Sequence[str], connection: Any) -> int:
    return await mend(connection, destination, keys, datetime.now(UTC))


def _read(which: Which) -> Sequence[DeadLetter]:
    found = letters.read_dead_letters(read(ControlSettings).kafka_bootstrap, which.filter())
    if found.unreadable:
        print(f"{found.unreadable} letters of a newer version were left out", file=sys.stderr)
    return found.wanted
