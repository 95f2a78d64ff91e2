"""Instants as people write them on the command line."""

from schemas.predicates.values import zoned_instant


class NoInstant(ValueError):
    """The text is no instant; the message says how to write one."""


def past_instant(text: str) -> int:
    """Unix milliseconds.

    Raises:
        NoInstant: no instant with its zone, and no date.
    """
    found = zoned_instant(text)
    if found is None:
        raise NoInstant(
            f'"{text}" is no instant; write a date, or a time with its zone, '
            "such as 2026-11-25T08:00:00Z"
        )
    return found
