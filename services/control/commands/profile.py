"""`afflux profile`: who is behind an identifier."""

from typing import Annotated

import msgspec
from cyclopts import Parameter

from services.control.console import console
from services.control.profiles import card_lines, card_of, card_tables
from services.control.settings import ControlSettings
from services.runtime.settings import read


def profile(
    profile: str,
    /,
    *,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Show a profile: its identifiers and which event linked each, whom it absorbed and why, what
    it refused, and the segments that it is in now.

    Parameters
    ----------
    profile:
        A profile id, an identifier as type:value, or its value alone.
    as_json:
        Print one JSON document; instants are Unix milliseconds.
    """
    card = card_of(read(ControlSettings).postgres_dsn.get_secret_value(), profile)
    if as_json:
        print(msgspec.json.encode(card).decode())
        return 0
    for line in card_lines(card):
        print(line)
    for table in card_tables(card):
        console().print(table)
    return 0
