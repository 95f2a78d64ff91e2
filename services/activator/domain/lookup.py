"""Finds an audience at the platform: one page of its list after the other."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from services.activator.domain.answer import Answer
from services.activator.domain.platform import Audience, AudienceCalls, Setup
from services.activator.domain.requests import Request


@dataclass(slots=True)
class Lookup:
    """Where a look-up through several pages stands."""

    calls: AudienceCalls
    audience: Audience
    asked: Mapping[str, str] = field(default_factory=dict)

    def request(self, setup: Setup[Any]) -> Request:
        """The call for the page that is due."""
        assert self.calls.find is not None
        request = self.calls.find(self.audience, setup)
        return request.asking(self.asked) if self.asked else request

    def read(self, answer: Answer) -> str | None:
        """The id on this page; None when it is on none so far."""
        if answer.status in self.calls.absent or self.calls.found is None:
            self.asked = {}
            return None
        before, self.asked = self.asked, self.calls.more(answer, self.asked)
        if self.asked == before:
            self.asked = {}
        return self.calls.found(answer, self.audience)

    @property
    def goes_on(self) -> bool:
        """Whether there is another page."""
        return bool(self.asked)
