"""A document as canonical JSON: what is stored, and what decides whether it changed."""

import json
from collections.abc import Mapping
from typing import Any


def canonical(body: Mapping[str, Any]) -> bytes:
    """Keys sorted, no white space, UTF-8, every number exactly as it was read."""
    text = json.dumps(
        body, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode()
