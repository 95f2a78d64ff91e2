"""What browser libraries ask for before they send anything; nobody sends without it."""

from typing import Any
from urllib.parse import urlsplit

from services.ingest.domain.source import Source

WORKSPACE = "afflux"
UNKNOWN_SOURCE = "unknown"


def settings(write_key: str, public_url: str | None) -> dict[str, Any]:
    """For Segment's library: without `Segment.io` in it events would go to Segment's own cloud."""
    return {
        "integrations": {"Segment.io": _segment_io(write_key, public_url)},
        "plan": {kind: {"__default": {"enabled": True}} for kind in ("track", "identify", "group")},
        "metrics": {"sampleRate": 0},
        "analyticsNextEnabled": True,
        "edgeFunction": {},
    }


def source_config(write_key: str, source: Source | None) -> dict[str, Any]:
    """For RudderStack's library; an unknown source is one that is not yet known."""
    return {
        "source": {
            "id": source.id if source else UNKNOWN_SOURCE,
            "name": (source.name or source.id) if source else UNKNOWN_SOURCE,
            "writeKey": write_key,
            "workspaceId": WORKSPACE,
            "enabled": source.enabled if source else True,
            "config": {
                "statsCollection": {"errors": {"enabled": False}, "metrics": {"enabled": False}}
            },
            "destinations": [],
        }
    }


def _segment_io(write_key: str, public_url: str | None) -> dict[str, Any]:
    return {
        "apiKey": write_key,
        **(_address(public_url) if public_url else {}),
        "addBundledMetadata": True,
        "unbundledIntegrations": [],
        "maybeBundledConfigIds": {},
        "httpConfig": {
            "backoffConfig": {"maxRetryCount": 100, "maxBackoffInterval": 300},
            "rateLimitConfig": {"maxRetryCount": 100},
        },
    }


def _address(public_url: str) -> dict[str, str]:
    """Steers pages that name no host of their own."""
    parts = urlsplit(public_url)
    return {"apiHost": f"{parts.netloc}{parts.path.rstrip('/')}/v1", "protocol": parts.scheme}
