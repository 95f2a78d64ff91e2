"""Stretches of stream time `[start, end)` during which something holds."""

from collections.abc import Iterable

Span = tuple[int, int]

BEGINNING = -(2**62)
END = 2**62
ALWAYS: Span = (BEGINNING, END)
NEVER: Span = (END, END)


def overlap(one: Span, other: Span) -> Span | None:
    """What both cover."""
    start = max(one[0], other[0])
    end = min(one[1], other[1])
    return (start, end) if start < end else None


def covered(spans: Iterable[Span], now: int) -> bool:
    """Whether any of them holds at `now`."""
    return any(start <= now < end for start, end in spans)


def next_edge(spans: Iterable[Span], now: int) -> int | None:
    """The first instant after `now` at which their union begins or ceases to hold."""
    reached = now
    for start, end in sorted(spans):
        if end <= now:
            continue
        if start > reached:
            return start if reached == now else reached
        reached = max(reached, end)
    return reached if now < reached < END else None
