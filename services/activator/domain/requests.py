"""A request as a value: what a destination builds and the client sends."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Request:
    """Everything that goes over the wire, and nothing else; its text form holds no secret."""

    url: str
    headers: Mapping[str, str]
    content: bytes
    method: str = "POST"

    def __repr__(self) -> str:
        return f"Request({self.method}, {len(self.content)} bytes)"


class TooLarge(ValueError):
    """The change fits into no request of this destination."""
