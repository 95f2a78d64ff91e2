"""The script of a platform: which fault meets which call.

A line is `fault`, `fault:detail`, or either behind the name of an operation, as in
`upsert_profile status:503` or `token status:503`, which alone meets calls for a token. Of each call
the first line that can befall it is used up. The kinds:
`status:<n>`, `throttle[:<seconds>]`, `body:<row of its contract>`, `html`, `garbage`, `timeout`,
`timeout_after_send`, `reset_before_apply`, `reset_after_send`, `slow:<ms>`,
`partial[:<positions>]`, `expire_token`, and `revoke_token`, which takes the refresh token as well.
"""

from dataclasses import dataclass
from typing import Any

from tests.stub import partial
from tests.stub.answers import BAD
from tests.stub.operations import operations
from tests.stub.world import Call, World


@dataclass(frozen=True, slots=True)
class Fault:
    """One line of a script."""

    kind: str
    detail: str = ""
    operation: str = ""
    """The only one that it befalls; empty for any call."""

    @property
    def items(self) -> tuple[int, ...]:
        """Of a partial one: the positions of the items that are refused."""
        return tuple(map(int, self.detail.split(","))) if self.detail else (BAD,)

    def befalls(self, call: Call, world: World) -> bool:
        """Whether the call is one that it can meet."""
        if self.operation and self.operation not in operations(call, world):
            return False
        return self.kind != "partial" or partial.list_in(call, world.name, self.items) is not None


NONE = Fault("")


def line(entry: Any) -> str:
    """The line for one entry of `PUT /__stub__/faults`."""
    return f"{entry.get('op', '')} {entry['fault']}".strip()


def read(text: str) -> Fault:
    """What a line says."""
    operation, _, fault = text.rpartition(" ")
    kind, _, detail = fault.partition(":")
    return Fault(kind, detail, operation)


def taken_of_token(script: list[str]) -> Fault:
    """The fault that meets a call for a token: only what is in the script behind `token`."""
    found = next((text for text in script if read(text).operation == "token"), None)
    if found is None:
        return NONE
    script.remove(found)
    return read(found)


def taken(script: list[str], call: Call, world: World) -> Fault:
    """The fault that meets this call, which is then no longer in the script."""
    for index, text in enumerate(script):
        fault = read(text)
        if fault.befalls(call, world):
            del script[index]
            return fault
    return NONE
