"""The usual ways in which platforms want to know who calls."""

import base64
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from pydantic import SecretStr

from services.activator.domain.contract import Contract
from services.activator.domain.platform import DestinationSettings, Token
from services.activator.domain.requests import Request

FORM: Mapping[str, str] = {"content-type": "application/x-www-form-urlencoded"}


class OAuthSettings(DestinationSettings):
    """An app of the platform, and what it was given by the owner of the account."""

    client_id: str
    """Of the app that was registered with the platform."""
    client_secret: SecretStr
    """Of that app."""
    refresh_token: SecretStr
    """What the owner of the account granted the app."""


def bearer(secret: str) -> dict[str, str]:
    """The header of a token."""
    return {"authorization": f"Bearer {secret}"}


def bearer_token(_settings: Any, token: Token | None) -> dict[str, str]:
    """The header of the token that was fetched last."""
    return bearer(token.value) if token else {}


def basic(name: str, password: str) -> dict[str, str]:
    """The header of a name and a password."""
    encoded = base64.b64encode(f"{name}:{password}".encode()).decode()
    return {"authorization": f"Basic {encoded}"}


def refresh_grant(contract: Contract) -> Callable[[OAuthSettings, datetime], Request]:
    """Exchanges a refresh token for one that lasts an hour or so."""

    def grant(settings: OAuthSettings, _now: datetime) -> Request:
        return form(
            token_address(settings, contract),
            {
                "grant_type": "refresh_token",
                "client_id": settings.client_id,
                "client_secret": settings.client_secret.get_secret_value(),
                "refresh_token": settings.refresh_token.get_secret_value(),
            },
        )

    return grant


def token_address(settings: DestinationSettings, contract: Contract) -> str:
    """Where tokens are given out."""
    return str(settings.token_url or contract.token_url)


def form(url: str, fields: Mapping[str, str]) -> Request:
    """A form, as token endpoints take it."""
    return Request(url=url, headers=FORM, content=urlencode(fields).encode())
