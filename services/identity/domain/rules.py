"""The workspace kind `identity`: which values identify a person, how strongly, and how many."""

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

Normalise = Literal["none", "lower", "email", "phone"]

ALIAS = "alias"
"""Type of the mark that an alias leaves for a user id that nobody has used yet; no rule has it."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _not_reserved(type_: str) -> str:
    if type_ == ALIAS:
        raise ValueError(f"`{ALIAS}` is reserved; choose another type")
    return type_


def _compilable(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"is not a regular expression: {error}") from error
    return pattern


TypeName = Annotated[
    str,
    Field(pattern=r"^[a-z][a-z0-9_.]*$", max_length=64),
    AfterValidator(_not_reserved),
]
Path = Annotated[str, Field(pattern=r"^[^.]+(\.[^.]+)*$", max_length=500)]
Pattern = Annotated[str, AfterValidator(_compilable)]


class IdentifierRule(_Model):
    """One type of identifier: where it stands, its one form, how many of it a person has."""

    type: TypeName
    paths: tuple[Path, ...] = ()
    """Dotted places in the event; without any the type comes from `context.externalIds` alone."""
    normalise: Normalise = "none"
    limit: int = Field(default=5, ge=1)
    """Most different values in one profile."""


class Blocked(_Model):
    """Values that many people share; compared after normalising and without case."""

    values: tuple[str, ...] = (
        "-1",
        "null",
        "undefined",
        "anonymous",
        "guest",
        "n/a",
        "none",
        "unknown",
        "test@example.com",
    )
    patterns: tuple[Pattern, ...] = ("^[0-]*$",)


class IdentityRules(_Model):
    """The one document of kind `identity`; without it the defaults are in force."""

    kind: Literal["identity"] = "identity"
    id: str = "default"
    name: str = ""
    description: str = ""
    identifiers: tuple[IdentifierRule, ...] = Field(
        default=(
            IdentifierRule(type="user_id", paths=("userId",), limit=1),
            IdentifierRule(
                type="email",
                paths=("traits.email", "context.traits.email", "properties.email"),
                normalise="email",
                limit=5,
            ),
            IdentifierRule(
                type="phone",
                paths=("traits.phone", "context.traits.phone"),
                normalise="phone",
                limit=5,
            ),
            IdentifierRule(type="anonymous_id", paths=("anonymousId",), limit=500),
        ),
        min_length=1,
    )
    """Strongest first."""
    blocked: Blocked = Blocked()
    max_merges: int = Field(default=100, ge=1)
    """Most profiles folded into one, in all."""
    max_identifiers: int = Field(default=1000, ge=1)
    """Most identifiers of one profile, over all types."""

    @model_validator(mode="after")
    def _types_are_listed_once(self) -> Self:
        types = [rule.type for rule in self.identifiers]
        for type_ in types:
            if types.count(type_) > 1:
                raise ValueError(f"identifiers: the type `{type_}` is listed more than once")
        return self
