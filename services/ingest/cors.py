"""What lets pages read our answers: without it a browser takes each refusal for a dead network."""

from collections.abc import Mapping

EXPOSED = "Retry-After, X-RateLimit-Reset, X-Request-Id"
"""A header that is not exposed does not exist for a page."""


def of_answer(origin: str) -> dict[str, str]:
    """Of every answer to a page."""
    return {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Allow-Credentials": "true",
        "Access-Control-Expose-Headers": EXPOSED,
        "Vary": "Origin",
    }


def of_preflight(request: Mapping[str, str]) -> dict[str, str]:
    """What a browser asks before it sends; the list is echoed, for `*` leaves Authorization out."""
    headers = of_answer(request.get("Origin", "*")) | {
        "Access-Control-Allow-Methods": "GET, POST, HEAD, OPTIONS",
        "Access-Control-Max-Age": "86400",
        "Vary": "Origin, Access-Control-Request-Headers",
    }
    asked = request.get("Access-Control-Request-Headers")
    return headers | {"Access-Control-Allow-Headers": asked} if asked else headers
