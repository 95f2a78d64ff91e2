"""Which part of time a condition asks about: the last while, since then, or between."""

from dataclasses import dataclass, field

from schemas.predicates.durations import duration
from schemas.predicates.shape import MISSING, Piece
from schemas.predicates.spans import BEGINNING, END, Span
from schemas.predicates.values import instant, zoned_instant

KEYS = ("within", "since", "between")


@dataclass(frozen=True, slots=True)
class Window:
    """`within` milliseconds before T, or instants from `start` to before `end`; else ever."""

    within: int | None = None
    start: int = BEGINNING
    end: int = END
    length: int = field(init=False, default=0)
    """How long after it happened something leaves; 0 when that does not depend on it."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "length", self.within or 0)

    def span(self, at: int) -> Span | None:
        """The stream times at which something that happened at `at` lies in the window."""
        if self.within is not None:
            return at, at + self.within
        return (at, END) if self.start <= at < self.end else None

    def reaches(self, at: int, now: int) -> bool:
        """Whether something that happened at `at` lies in the window at `now` or later."""
        span = self.span(at)
        return span is not None and span[1] > now


def window(piece: Piece) -> Window | None:
    """The window written in a condition, at most one of the three; None when refused."""
    written = [key for key in KEYS if piece.has(key)]
    if not written:
        return Window()
    if len(written) > 1:
        piece.at(written[1]).refuse(f"at most one of {', '.join(KEYS)}")
        return None
    match written[0]:
        case "within":
            length = a_duration(piece.at("within"))
            return None if length is None else Window(within=length)
        case "since":
            start = an_instant(piece.at("since"))
            return None if start is None else Window(start=start)
        case _:
            return _between(piece.at("between"))


def a_duration(piece: Piece) -> int | None:
    """The milliseconds of a duration that must be there."""
    if piece.value is MISSING:
        piece.refuse("is missing")
        return None
    found = duration(piece.value)
    if isinstance(found, str):
        piece.refuse(found)
        return None
    return found


def an_instant(piece: Piece) -> int | None:
    """The Unix milliseconds of an instant that must be there, with its zone."""
    found = zoned_instant(piece.value)
    if piece.value is MISSING:
        piece.refuse("is missing")
    elif found is None and instant(piece.value) is not None:
        piece.refuse(f"has no zone; for UTC write {piece.value}Z")
    elif found is None:
        piece.refuse("must be an instant with its zone, such as 2026-11-25T08:00:00Z, or a date")
    return found


def _between(piece: Piece) -> Window | None:
    if type(piece.value) is not list or len(piece.value) != 2:
        piece.refuse("must be a list of two instants, [from, to]")
        return None
    start, end = (an_instant(item) for item in piece.items())
    if start is None or end is None:
        return None
    if start > end:
        piece.refuse("the lower bound is above the upper")
        return None
    return Window(start=start, end=end)
