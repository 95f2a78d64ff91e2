"""The terminal that commands write to."""

import sys

from rich.console import Console


def console() -> Console:
    """Tables as text: nothing in a cell is markup, and a pipe gets as much width as it needs."""
    plain = not sys.stdout.isatty()
    return Console(markup=False, highlight=False, width=200 if plain else None)
