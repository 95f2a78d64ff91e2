"""How many: `count: {at_least | at_most | exactly: n}`, for events and for related rows."""

from schemas.predicates.shape import MISSING, Piece

COUNTS = ("at_least", "at_most", "exactly")

Bounds = tuple[int, int | None]
"""The least and the greatest number that holds; None for no greatest."""


def count_bounds(piece: Piece) -> Bounds | None:
    """What is written under `count`; at least once when nothing is."""
    if piece.value is MISSING:
        return 1, None
    if not piece.is_object(COUNTS):
        return None
    written = [key for key in COUNTS if piece.has(key)]
    if len(written) != 1:
        piece.refuse("needs exactly one of at_least, at_most, exactly")
        return None
    wanted = piece.at(written[0]).value
    if type(wanted) is not int or wanted < 0:
        piece.at(written[0]).refuse("must be a whole number from 0 on")
        return None
    match written[0]:
        case "at_least":
            return wanted, None
        case "at_most":
            return 0, wanted
        case _:
            return wanted, wanted
