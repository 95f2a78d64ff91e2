"""One person's story: what the platform was told about Ada, and why."""

from datetime import datetime

from examples.shop.receiver import Call
from examples.shop.traffic import ADA_LAPTOP, ADA_PHONE, ADA_USER

REASONS = {
    ("abandoned-cart", True, "time"): "no order within 5 s of her checkout",
    ("abandoned-cart", False, "event"): "she ordered after all",
    ("big-spenders", True, "event"): "she spent over 500 in 90 days",
    ("pro-plan", True, "event"): "her plan became pro",
    ("gold-shoppers", True, "event"): "her row in the shop's database says gold",
    ("active-now", True, "event"): "she was seen",
    ("active-now", False, "time"): "not seen for a minute",
}
BY_CAUSE = {
    "merge": "two of her profiles became one",
    "edit": "the segment was changed",
    "time": "time went by",
    "event": "of what she did",
}


def told(calls: list[Call]) -> list[str]:
    """A line for each change that the platform was told about her, as they happened."""
    hers = [call for call in calls if not call.names.isdisjoint((ADA_LAPTOP, ADA_PHONE, ADA_USER))]
    return [_line(call) for call in sorted(hers, key=lambda c: (c.occurred_at, c.version))]


def _line(call: Call) -> str:
    at = datetime.fromtimestamp(call.occurred_at / 1000).strftime("%H:%M:%S.%f")[:-3]
    verb = "added to" if call.member else "removed from"
    reason = REASONS.get((call.audience_id, call.member, call.cause), BY_CAUSE[call.cause])
    return f"{at} Ada {verb} {call.audience_id}, because {reason}"
