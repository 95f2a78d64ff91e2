"""What a platform answered, opened: its body as JSON or text, and where things are in it."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from typing import Any

from services.activator.domain.outcomes import Response

REQUEST_ID_HEADERS = ("x-request-id", "x-fb-trace-id", "x-li-uuid", "x-hubspot-correlation-id")
REQUEST_ID_PLACES = (
    *("requestId", "request_id", "correlationId", "fbtrace_id"),
    *("error.fbtrace_id", "error.details[].requestId"),
)
"""Where a platform writes the id under which its own people find a request."""
_REQUEST_ID = re.compile(r"[\w.:+/=-]{1,100}", re.ASCII)
_CODE = re.compile(r"[\w.-]{1,100}", re.ASCII)
_STEP = re.compile(r"([^.\[\]]+)|\[(\d*)\]")


@dataclass(frozen=True)
class Answer:
    """A response; its body is read once."""

    response: Response

    @property
    def status(self) -> int:
        return self.response.status

    @cached_property
    def content_type(self) -> str:
        """Without parameters, in lower case."""
        return self.response.headers.get("content-type", "").partition(";")[0].strip().lower()

    @cached_property
    def text(self) -> str:
        return self.response.body.decode("utf-8", "replace").strip()

    @cached_property
    def body(self) -> Any:
        """The JSON of the body; None when it holds none."""
        try:
            return json.loads(self.response.body)
        except (ValueError, RecursionError):
            return None

    @property
    def is_html(self) -> bool:
        return self.content_type == "text/html" or self.begins_as_html

    @property
    def begins_as_html(self) -> bool:
        return self.text[:15].lower().startswith(("<!doctype html", "<html"))

    def all(self, path: str) -> list[Any]:
        """What is at a dotted path; `[]` goes into every element of an array, `[0]` into one."""
        found = [self.body]
        for name, index in _STEP.findall(path):
            found = [below for each in found for below in _below(each, name, index)]
        return found

    def first(self, path: str) -> Any:
        """The one value at a path; None when there is none."""
        return next(iter(self.all(path)), None)

    @property
    def request_id(self) -> str | None:
        """Of the platform's, to be quoted to its support; None where it gives none."""
        headers = (self.response.headers.get(name) for name in REQUEST_ID_HEADERS)
        places = (self.first(path) for path in REQUEST_ID_PLACES)
        stated = (value for value in chain(headers, places) if isinstance(value, str))
        return next(filter(_REQUEST_ID.fullmatch, stated), None)

    def part(self, value: Any) -> "Answer":
        """One element of the body, as an answer of its own."""
        return Answer(replace(self.response, body=json.dumps(value).encode()))

    def named(self, key: str) -> list[Any]:
        """Every value of a key, wherever it is."""
        return list(_named(self.body, key))


def code(value: Any) -> str:
    """A code of the platform's own, fit to be written down; of anything else nothing is told."""
    return value if isinstance(value, str) and _CODE.fullmatch(value) else "unknown"


def _below(value: Any, name: str, index: str) -> list[Any]:
    if name:
        return [value[name]] if isinstance(value, dict) and name in value else []
    if not isinstance(value, list):
        return []
    if not index:
        return value
    return value[int(index) : int(index) + 1]


def _named(value: Any, key: str) -> Iterator[Any]:
    match value:
        case dict():
            for name, below in value.items():
                if name == key:
                    yield below
                yield from _named(below, key)
        case list():
            for below in value:
                yield from _named(below, key)
