"""What a person sees while the demo runs: a live table on a terminal, plain lines elsewhere."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

PLAIN_EVERY_S = 5.0


@dataclass(frozen=True, slots=True)
class Figures:
    """One look at everything."""

    seconds: float
    events: int
    events_per_second: float
    profiles: int
    members: dict[str, int]
    deliveries: int
    p50_ms: float | None
    p99_ms: float | None
    story: Sequence[str]


class Screen:
    """Shows figures; `live` only when a person looks."""

    def __init__(self) -> None:
        self.console = Console(highlight=False)
        self._live = Live(console=self.console, auto_refresh=False)
        self._said: deque[str] = deque(maxlen=100)
        self._next_plain = 0.0

    def __enter__(self) -> "Screen":
        if self.console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.console.is_terminal:
            self._live.stop()

    def show(self, figures: Figures) -> None:
        if self.console.is_terminal:
            self._live.update(_table(figures), refresh=True)
        else:
            self._lines(figures)

    def say(self, text: str) -> None:
        self.console.print(text, markup=False, soft_wrap=True)

    def _lines(self, figures: Figures) -> None:
        for line in figures.story:
            if line not in self._said:
                self._said.append(line)
                self.say(line)
        if figures.seconds >= self._next_plain:
            self._next_plain = figures.seconds + PLAIN_EVERY_S
            members = ", ".join(f"{name} {count}" for name, count in figures.members.items())
            self.say(
                f"{figures.seconds:3.0f} s  {figures.events} events"
                f" ({figures.events_per_second:.0f}/s), {figures.profiles} profiles,"
                f" {figures.deliveries} deliveries, latency {latency(figures)}; {members}"
            )


def latency(figures: Figures) -> str:
    """p50 and p99 from HTTP accept to webhook."""
    if figures.p50_ms is None or figures.p99_ms is None:
        return "none yet"
    return f"p50 {figures.p50_ms:.0f} ms, p99 {figures.p99_ms:.0f} ms"


def _table(figures: Figures) -> Group:
    numbers = Table.grid(padding=(0, 3))
    numbers.add_row("events", f"{figures.events}", f"{figures.events_per_second:.0f} a second")
    numbers.add_row("profiles", f"{figures.profiles}", "")
    numbers.add_row("deliveries", f"{figures.deliveries}", latency(figures))
    members = Table.grid(padding=(0, 3))
    for name, count in figures.members.items():
        members.add_row(name, f"{count} members")
    story = Text("\n".join(figures.story[-12:]) or "Ada has not come yet", overflow="fold")
    return Group(
        Panel(numbers, title=f"Afflux, {figures.seconds:.0f} s", title_align="left"),
        Panel(members, title="segments", title_align="left"),
        Panel(story, title="one person", title_align="left"),
    )
