"""Message ids as they are kept: most are UUIDs, which take 18 bytes in a state instead of 38."""

import re

_UUID = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_TEXT = b"\xff"
"""Stands before a text that would else be taken for a UUID; no text in UTF-8 begins like that."""
_LENGTH = 16


def shortened(message_id: str) -> bytes:
    """The bytes of a UUID that is written the usual way; of anything else its text."""
    if _UUID.fullmatch(message_id):
        return bytes.fromhex(message_id.replace("-", ""))
    text = message_id.encode()
    return _TEXT + text if len(text) == _LENGTH else text


def spelled(kept: bytes) -> str:
    """As it came."""
    if len(kept) != _LENGTH:
        return kept.removeprefix(_TEXT).decode()
    digits = kept.hex()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
