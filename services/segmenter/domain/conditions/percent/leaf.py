"""The share: its shape and its truth. It has no history, so merges and time leave it alone."""

from dataclasses import dataclass
from decimal import Decimal
from hashlib import blake2b

from schemas.predicates.shape import Piece
from schemas.predicates.values import number
from services.segmenter.domain.conditions.leaf import leaf_key

WHOLE = 10_000


@dataclass(frozen=True, slots=True)
class Percent:
    """So many hundredths of a percent of all profiles; growing it keeps the members."""

    key: int
    """Digest of its canonical JSON, as leaves have one."""
    hundredths: int
    salt: str

    def holds(self, profile_id: str) -> bool:
        """Whether the profile is among them."""
        return bucket(self.salt, profile_id) * WHOLE < self.hundredths << 64


def bucket(salt: str, profile_id: str) -> int:
    """Where a profile stands among all, from 0 to 2^64 - 1."""
    told = f"{salt}\0{profile_id}".encode()
    return int.from_bytes(blake2b(told, digest_size=8).digest(), "big")


def parse_percent(piece: Piece) -> Percent | None:
    """`percent` from 0 to 100 with at most two decimals, and `salt`."""
    piece.is_object(("percent", "salt"))
    hundredths = _hundredths(piece.at("percent"))
    written = piece.required("salt")
    salt = None if written is None else written.a_text()
    if hundredths is None or salt is None:
        return None
    return Percent(leaf_key(piece.value), hundredths, salt)


def _hundredths(piece: Piece) -> int | None:
    value = number(piece.value)
    if value is None or not 0 <= value <= 100:
        piece.refuse("must be a number from 0 to 100")
        return None
    hundredths = Decimal(repr(value)) * 100
    if hundredths != int(hundredths):
        piece.refuse(f"must have at most two decimals; write {round(value, 2)}")
        return None
    return int(hundredths)
