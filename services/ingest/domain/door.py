"""What the path of a request says about the events in it."""

from dataclasses import dataclass
from typing import Literal

from schemas.records import CallType

Form = Literal["event", "batch", "pixel"]
Origin = Literal["device", "server"]


@dataclass(frozen=True, slots=True)
class Door:
    """How events come in; what a path leaves open, each event says itself."""

    form: Form
    type: CallType | None = None
    origin: Origin | None = None
    is_jitsu: bool = False
    """Jitsu's clients expect an answer of their own and send the locale in a header."""
