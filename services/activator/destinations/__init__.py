"""Every kind of destination, listed by hand: one file each in this folder."""

from collections.abc import Mapping
from typing import Any

from services.activator.destinations import webhook
from services.activator.domain.platform import Destination

DESTINATIONS: Mapping[str, Destination[Any]] = {
    destination.name: destination for destination in (webhook.DESTINATION,)
}
