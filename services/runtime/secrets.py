"""Secrets are references, `env:NAME` or `file:PATH`, resolved by the service that uses them."""

import os
import re
from pathlib import Path

from pydantic import SecretStr

_REFERENCE = re.compile(r"(env:[A-Za-z_][A-Za-z0-9_]*|file:.+)")


class UnresolvedSecret(LookupError):
    """The reference points at nothing; the message names the reference, never a value."""


def is_reference(text: str) -> bool:
    """Whether the text has the form of a reference."""
    return _REFERENCE.fullmatch(text) is not None


def resolve(reference: str) -> SecretStr:
    """The secret behind a reference; any other text is the secret itself.

    Raises:
        UnresolvedSecret: the variable is not set, or the file cannot be read.
    """
    scheme, _, place = reference.partition(":")
    if not is_reference(reference):
        return SecretStr(reference)
    if scheme == "env":
        value = os.environ.get(place)
        if not value:
            raise UnresolvedSecret(f"{reference}: the environment variable is not set")
        return SecretStr(value)
    try:
        return SecretStr(Path(place).read_text(encoding="utf-8").strip())
    except OSError as error:
        raise UnresolvedSecret(f"{reference}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise UnresolvedSecret(f"{reference}: the file is no UTF-8 text") from None
