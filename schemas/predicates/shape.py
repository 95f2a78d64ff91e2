"""One piece of a document on its way to a condition: the value, its place, what is wrong."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Final

from schemas.predicates.words import unknown_word
from schemas.problems import Problem

ROOT = "where"


class Missing:
    """The type of what is not there."""


MISSING: Final = Missing()


@dataclass(frozen=True, slots=True)
class Piece:
    """A value and its place below `where`; the root itself is placed at `where`."""

    value: Any
    place: str = ""
    problems: list[Problem] = field(default_factory=list)

    def refuse(self, message: str) -> None:
        """Note what is wrong here; parsing goes on to find everything else."""
        self.problems.append(Problem(self.place or ROOT, message))

    def at(self, key: str) -> "Piece":
        """What stands under the key, MISSING if nothing does."""
        place = f"{self.place}.{key}" if self.place else key
        return Piece(self.value.get(key, MISSING), place, self.problems)

    def has(self, key: str) -> bool:
        """Whether the key is written, even with nothing in it."""
        return key in self.value

    def required(self, key: str) -> "Piece | None":
        """What stands under a key that must be there."""
        piece = self.at(key)
        if piece.value is MISSING:
            piece.refuse("is missing")
            return None
        return piece

    def is_object(self, known: Collection[str]) -> bool:
        """Whether it is an object; keys nobody knows are refused on the way."""
        if type(self.value) is not dict:
            self.refuse("must be an object")
            return False
        for key in self.value:
            if key not in known:
                self.at(str(key)).refuse(unknown_word("key", str(key), known))
        return True

    def items(self, *, low: int = 0, high: int | None = None) -> "list[Piece]":
        """The members of a list, refused when it is none or has too few or too many."""
        if type(self.value) is not list:
            self.refuse("must be a list")
            return []
        if len(self.value) < low or (high is not None and len(self.value) > high):
            span = f"at least {low}" if high is None else f"{low} to {high}"
            self.refuse(f"must have {span} members")
        return [
            Piece(value, f"{self.place}[{index}]", self.problems)
            for index, value in enumerate(self.value)
        ]

    def a_text(self) -> str | None:
        """A string that is not empty."""
        if type(self.value) is str and self.value:
            return str(self.value)
        self.refuse("must be a text that is not empty")
        return None
