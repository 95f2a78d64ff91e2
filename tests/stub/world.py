"""What a platform keeps and what it is asked: real sets, real tokens, and everything it refused."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from services.activator.destinations import DESTINATIONS
from services.activator.domain.contract import Contract
from services.activator.domain.naming import Place
from services.activator.domain.outcomes import Response
from tests.stub.answers import answer_for

STATUSES: Mapping[int, str] = {401: "UNAUTHENTICATED", 404: "NOT_FOUND"}
HASHED = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Call:
    """One request below the platform's own address."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """Names in lower case."""
    content: bytes

    @property
    def body(self) -> Any:
        try:
            return json.loads(self.content) if self.content else None
        except ValueError:
            return None


@dataclass(slots=True)
class World:
    """One platform's own state."""

    name: str
    members: dict[str, set[str]] = field(default_factory=dict)
    """Audience id → who is in it, by what the platform knows them."""
    audiences: dict[str, str] = field(default_factory=dict)
    """Name → id."""
    restricted: set[str] = field(default_factory=set)
    """Audiences that the platform lets nobody write to."""
    people: dict[str, str] = field(default_factory=dict)
    """What a person is known by → the platform's own id."""
    events: dict[str, Any] = field(default_factory=dict)
    """Deduplication key → the event; a repeat changes nothing."""
    repeated: list[str] = field(default_factory=list)
    """Keys of events that came again."""
    jobs: dict[str, Any] = field(default_factory=dict)
    job_end: dict[str, Any] = field(default_factory=lambda: {"requestStatus": "SUCCESS"})
    """What is said of every job, where jobs have no state of their own."""
    statuses: dict[str, str] = field(default_factory=dict)
    """What each person is subscribed to, where the platform keeps that."""
    leaks: list[str] = field(default_factory=list)
    """Places where something plain stood that should have been hashed."""
    throttled: int = 0
    """Calls beyond a documented ceiling."""
    asked_for_tokens: int = 0
    token: str = "token-1"
    granted: set[str] = field(default_factory=set)
    """The refresh tokens that were taken."""
    revoked: set[str] = field(default_factory=set)
    """Those that are refused from now on."""
    calls: list[Call] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=lambda: count(1000))

    @property
    def contract(self) -> Contract:
        return DESTINATIONS[self.name].contract

    def audience(self, name: str) -> str:
        """The id of the audience of that name; a new one if there was none."""
        if name not in self.audiences:
            self.audiences[name] = str(next(self.numbers))
            self.members[self.audiences[name]] = set()
        return self.audiences[name]

    def renew_token(self) -> None:
        """The token that is out there is refused from now on."""
        self.token = f"token-{next(self.numbers)}"

    def page(self, asked: str | None) -> "tuple[list[tuple[str, str]], int | None]":
        """Two audiences as name and id, from the one on that was asked for; where to go on."""
        start = int(asked or 0)
        listed = list(self.audiences.items())
        end = start + 2
        return listed[start:end], end if end < len(listed) else None

    def person(self, key: str) -> str:
        """The platform's own id of a person."""
        return self.people.setdefault(key, f"id-{next(self.numbers)}")

    def change(self, audience_id: str, people: Sequence[str], *, member: bool) -> None:
        """Let them in or out."""
        known = self.members.setdefault(audience_id, set())
        known.update(people) if member else known.difference_update(people)

    def happened(self, key: str, event: Any) -> None:
        """An event; one with a known key is the same."""
        if key in self.events:
            self.repeated.append(key)
        self.events.setdefault(key, event)

    def hashed(self, value: Any, place: str) -> str:
        """A digest; anything plain is a breach that the tests find."""
        if not isinstance(value, str) or not HASHED.fullmatch(value):
            self.leaks.append(place)
            raise Plain
        return value


class Plain(Exception):
    """Something plain stood where a digest is due."""


class Refused(Exception):
    """The platform says no, in its own words: those of a row of its contract, or with a status."""

    def __init__(self, row: str, status: int = 400) -> None:
        self.row = row
        self.status = status
        super().__init__(row)


def ok(body: Any = None, status: int = 200, **headers: str) -> Response:
    """A JSON answer; None for an empty one."""
    content = b"" if body is None else json.dumps(body).encode()
    typed = {} if body is None else {"content-type": "application/json"}
    return Response(status, typed | headers, content)


def refusal(world: World, row: str, status: int = 400) -> Response:
    """The platform's answer that a row of its contract is about; the status if there is none."""
    found = next((each for each in world.contract.errors if each.name == row), None)
    if found is None:
        error = {
            "code": status,
            "message": "no",
            "status": STATUSES.get(status, "INVALID_ARGUMENT"),
        }
        return ok({"error": error} if world.contract.body_code_first else {"message": "no"}, status)
    places = [Place(i, names=(f"nobody-{i}",), array_index=i) for i in range(3)]
    return answer_for(found, world.contract, places)


def demand(holds: object, row: str) -> None:
    """What a platform insists on.

    Raises:
        Refused: it does not hold.
    """
    if not holds:
        raise Refused(row)


def only(body: Any, *allowed: str, row: str, needs: Sequence[str] = ()) -> Mapping[str, Any]:
    """The body, which must be an object with these keys alone.

    Raises:
        Refused: it is not.
    """
    if not isinstance(body, dict) or set(body) - set(allowed) or set(needs) - set(body):
        raise Refused(row)
    return body


def at_most(items: Any, most: int, row: str) -> list[Any]:
    """The items, which may be so many.

    Raises:
        Refused: none, or more.
    """
    if not isinstance(items, list) or not 1 <= len(items) <= most:
        raise Refused(row)
    return items
