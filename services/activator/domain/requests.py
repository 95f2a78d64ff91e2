"""A request as a value: what a destination builds and the client sends."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit


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

    def asking(self, query: Mapping[str, str]) -> "Request":
        """The same call with these parts in its query, in the place of any of the same name."""
        parts = urlsplit(self.url)
        written = dict(parse_qsl(parts.query, keep_blank_values=True)) | dict(query)
        return replace(self, url=urlunsplit(parts._replace(query=urlencode(written))))

    def __repr__(self) -> str:
        return f"Request({self.method}, {len(self.content)} bytes)"


def query_of(url: Any) -> Mapping[str, str]:
    """The query of an address that a platform names for the next page; the rest of it is not
    followed. Empty when it names none."""
    try:
        return dict(parse_qsl(urlsplit(url).query)) if isinstance(url, str) else {}
    except ValueError:
        return {}


def as_json(value: Any) -> bytes:
    """Compact, and with every letter as it is."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(
        "utf-8", "surrogatepass"
    )
