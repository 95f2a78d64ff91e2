"""A request as it may be shown to people: without what would let anybody send it."""

from pydantic import SecretStr

from services.activator.domain.platform import DestinationSettings
from services.activator.domain.requests import Request

SECRET_HEADERS = ("authorization", "token", "key", "signature")


def shown_headers(request: Request) -> dict[str, str]:
    """The headers, those that authorise blotted out."""
    return {name: _hidden(name, text) for name, text in request.headers.items()}


def shown_url(request: Request, settings: DestinationSettings) -> str:
    """The address; it may be the secret itself, or carry a proof."""
    url = request.url
    for _, value in settings:
        if isinstance(value, SecretStr) and value.get_secret_value():
            url = url.replace(value.get_secret_value(), "…")
    return url.partition("appsecret_proof=")[0]


def _hidden(name: str, text: str) -> str:
    return "…" if any(part in name.lower() for part in SECRET_HEADERS) else text
