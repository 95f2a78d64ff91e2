"""Ids that are derived from what they stand for, so that a replay gives the same ones."""

import base64
from hashlib import blake2b

from schemas.records import Identifier


def profile_id(strongest: Identifier, attempt: int = 0) -> str:
    """The id of the profile that an event with this strongest identifier creates.

    `attempt` counts the ids that are taken: an identifier can be gone from the profile that was
    named after it (erased, split off), and must then not fall into that profile again.
    """
    name = f"{strongest.type}\0{strongest.value}"
    return "p_" + _digest(f"{name}\0{attempt}" if attempt else name)


def merge_id(loser: str, winner: str) -> str:
    """The same for each repeat of a merge."""
    return "m_" + _digest(f"{loser}\0{winner}")


def _digest(name: str) -> str:
    """26 lower-case base32 characters of 16 bytes of BLAKE2b."""
    digest = blake2b(name.encode(), digest_size=16).digest()
    return base64.b32encode(digest).decode().rstrip("=").lower()
