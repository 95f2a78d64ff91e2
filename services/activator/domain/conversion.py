"""A tracked event as a conversion: which of its values mean what to the platforms."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

from schemas.predicates.filters import Filter, Happened
from schemas.predicates.spans import covered
from services.activator.domain.change import Conversion, Goods

CLICKS = ("fbc", "fbp", "gclid", "gbraid", "wbraid", "ttclid", "ttp", "li_fat_id")
PLACES: Mapping[str, tuple[str, ...]] = {
    "event_id": (),
    "value": ("properties.value", "properties.total", "properties.revenue"),
    "currency": ("properties.currency",),
    "order_id": ("properties.order_id", "properties.orderId"),
    "items": ("properties.products", "properties.items"),
    "action_source": ("properties.action_source",),
    "ip": ("context.ip",),
    "user_agent": ("context.userAgent",),
    "url": ("context.page.url", "properties.url"),
    "referrer": ("context.page.referrer",),
    **{
        name: (f"properties.{name}", f"context.{name}", f"context.clickIds.{name}")
        for name in CLICKS
    },
}
"""Where each part of a conversion is looked for, unless the mapping of the destination says so."""
PARTS = tuple(PLACES)

_SOURCES: Mapping[str, str] = {"web": "website", "browser": "website", "mobile": "app"}
"""Channel of the event → where a platform is told it happened."""
_GOODS: Mapping[str, tuple[str, ...]] = {
    "id": ("id", "product_id", "sku"),
    "quantity": ("quantity",),
    "price": ("price",),
    "name": ("name",),
    "category": ("category",),
    "brand": ("brand",),
}


@dataclass(frozen=True, slots=True)
class EventMapping:
    """Which tracked events are conversions of a destination, and how they are told there."""

    meant: Filter
    send: str
    """The conversion's name."""
    mapping: Mapping[str, str]
    """Part of the conversion → its path in the event, where it is not in its usual place."""

    def means(self, event: Mapping[str, Any], *, at: int, event_id: str) -> bool:
        """Whether the event, whose name fits, is one of them at the instant `at` (Unix ms)."""
        properties, context = event.get("properties"), event.get("context")
        span = self.meant.span(Happened(self.meant.event, at, event_id, properties, context))
        return span is not None and covered((span,), at)


def conversion_of(event: Mapping[str, Any], mapped: EventMapping, *, event_id: str) -> Conversion:
    """The conversion that a tracked event is; what is missing or ill-typed is left out."""
    mapping = mapped.mapping
    parts = {part: _part(event, part, mapping) for part in PARTS}
    return Conversion(
        event_id=_text(parts["event_id"]) or event_id,
        name=mapped.send,
        value=_number(parts["value"]),
        currency=_text(parts["currency"]),
        order_id=_text(parts["order_id"]),
        items=tuple(_goods(parts["items"])),
        click={n: text for n in CLICKS if (text := _text(parts[n]) or _clicked(event, n))},
        client={
            n: text
            for n in ("ip", "user_agent", "url", "referrer")
            if (text := _text(parts[n])) is not None
        },
        action_source=_text(parts["action_source"]) or _source(event),
        properties=_properties(event, mapping),
    )


def _part(event: Mapping[str, Any], part: str, mapping: Mapping[str, str]) -> Any:
    places = (mapping[part],) if part in mapping else PLACES[part]
    return next((v for place in places if (v := at(event, place)) is not None), None)


def at(event: Mapping[str, Any], path: str) -> Any:
    """The value at a dotted path of the event."""
    value: Any = event
    for step in path.split("."):
        value = value.get(step) if isinstance(value, Mapping) else None
    return value


def _properties(event: Mapping[str, Any], mapping: Mapping[str, str]) -> dict[str, Any]:
    """Those that the mapping names; all of them where it names none."""
    named = {
        part.removeprefix("properties."): at(event, place)
        for part, place in mapping.items()
        if part.startswith("properties.")
    }
    if named:
        return {name: value for name, value in named.items() if value is not None}
    own = event.get("properties")
    return dict(own) if isinstance(own, Mapping) else {}


def _goods(items: Any) -> Iterator[Goods]:
    for item in items if isinstance(items, list) else []:
        if not isinstance(item, Mapping):
            continue
        found = {
            name: next((item[key] for key in keys if item.get(key) is not None), None)
            for name, keys in _GOODS.items()
        }
        yield Goods(
            id=_text(found["id"]),
            quantity=_number(found["quantity"]),
            price=_number(found["price"]),
            name=_text(found["name"]),
            category=_text(found["category"]),
            brand=_text(found["brand"]),
        )


def _clicked(event: Mapping[str, Any], name: str) -> str | None:
    """The click id in the address of the page."""
    url = at(event, "context.page.url")
    if not isinstance(url, str):
        return None
    try:
        found = parse_qs(urlsplit(url).query).get(name)
    except ValueError:
        return None
    return found[0] if found else None


def _source(event: Mapping[str, Any]) -> str:
    channel = event.get("channel")
    return _SOURCES.get(channel, "system_generated") if isinstance(channel, str) else "website"


def _number(value: Any) -> float | None:
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if abs(value) < 1e15 else None


def _text(value: Any) -> str | None:
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        return str(value)
    return value if isinstance(value, str) and value.strip() else None
