"""The requests that changes become at a destination, without sending them."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import SecretStr

from services.activator.destinations import DESTINATIONS
from services.activator.domain.batches import Part, batches, part
from services.activator.domain.change import Change
from services.activator.domain.classify import readings
from services.activator.domain.naming import Place
from services.activator.domain.outcomes import Outcome, Response
from services.activator.domain.platform import Audience, Batch, Token
from services.activator.domain.requests import Request
from services.activator.domain.row_reading import Asked
from services.activator.instance import Instance, instance_of
from tests.unit.activator.builders import definition

AT = datetime(2026, 1, 15, 9, 31, tzinfo=UTC)
SESSION = 7_241_906_712_345
TOKEN = Token(value="token-1", renew_at=AT + timedelta(hours=1))
VENDOR_ID = "770077"
"""Of every audience."""


def instance(name: str, settings: Mapping[str, Any], **fields: Any) -> Instance:
    """The instance `ads` of a type, its secrets taken as they are written."""
    follows = [{"segment": "vip", "name": "VIP"}] if DESTINATIONS[name].members else []
    fields = {"audiences": follows} | fields
    return instance_of(definition(type=name, settings=dict(settings), **fields), SecretStr)


def made(
    of: Instance, changes: Sequence[Change], *, at: datetime = AT, ids: Mapping[str, str] = {}
) -> list[Batch]:
    """The batches that the changes come to."""
    parts: list[Part] = []
    setup = of.setup(TOKEN, ids, at)
    for change in changes:
        endpoint = of.endpoint(change.operation)
        assert endpoint is not None
        audience = _audience(of, change)
        drafts = of.destination.drafts(change, endpoint, audience, setup)
        parts += [part(change, endpoint, audience, draft) for draft in drafts]
    return batches(parts, at=at, session=lambda: SESSION)


def requests(
    of: Instance, changes: Sequence[Change], *, at: datetime = AT, ids: Mapping[str, str] = {}
) -> list[Request]:
    """The first call of each batch."""
    setup = of.setup(TOKEN, ids, at)
    return [next(of.destination.calls(batch, setup)) for batch in made(of, changes, at=at, ids=ids)]


def read(name: str, answer: Response, *, action: str, count: int = 2) -> list[Outcome]:
    """What an answer means for each of so many items."""
    contract = DESTINATIONS[name].contract
    endpoint = next(each for each in contract.endpoints if each.action == action)
    places = [Place(index) for index in range(count)]
    asked = Asked(contract=contract, endpoint=endpoint, places=places, now=AT)
    return [reading.outcome for reading in readings(answer, asked)]


def _audience(of: Instance, change: Change) -> Audience | None:
    if change.audience_id is None:
        return None
    known = of.audiences.get(change.audience_id)
    name = known.name if known else change.audience_id
    return Audience(id=change.audience_id, name=name, vendor_id=VENDOR_ID)
