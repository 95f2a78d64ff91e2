"""A request as a value: what a destination builds and the client sends."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Request:
    """Everything that goes over the wire, and nothing else; its text form holds no secret."""

    url: str
    headers: Mapping[str, str]
    content: bytes
    method: str = "POST"

    @classmethod
    def of_json(
        cls, url: str, body: Any, *, method: str = "POST", headers: Mapping[str, str]
    ) -> Self:
        """A call with a JSON body, or with none."""
        if body is None:
            return cls(url=url, headers=headers, content=b"", method=method)
        typed = {"content-type": "application/json", **headers}
        return cls(url=url, headers=typed, content=as_json(body), method=method)

    def __repr__(self) -> str:
        return f"Request({self.method}, {len(self.content)} bytes)"


def as_json(value: Any) -> bytes:
    """Compact, and with every letter as it is."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(
        "utf-8", "surrogatepass"
    )
