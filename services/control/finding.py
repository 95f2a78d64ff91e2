"""Finds the profile that is meant: by its id, by `type:value`, or by a value of any type."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg

from services.identity.domain.normalise import NORMALISERS
from services.identity.domain.rules import ALIAS
from services.runtime.postgres import AWAY

PROFILE_ID = re.compile(r"p_[a-z2-7]{26}")
_TIMEOUT_S = 5.0
_QUERY = (
    "select type, value, profile_id from identity.identifiers"
    " where (value = any($1) or (type = $2 and value = any($3))) and type <> $4"
    " order by type, value"
)


class NotFound(LookupError):
    """Nobody, or more than one, is meant; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Held:
    """An identifier and whose it is."""

    type: str
    value: str
    profile_id: str


def find_profile(dsn: str, text: str) -> str:
    """The profile id. A text in the shape of one is taken as it is.

    Raises:
        NotFound: nobody has such an identifier, several have, or the graph cannot be asked.
    """
    if PROFILE_ID.fullmatch(text):
        return text
    return meant(text, asyncio.run(_holders(dsn, text)))


def meant(text: str, found: Sequence[Held]) -> str:
    """The one profile among the holders; written with its type, an identifier is of that type."""
    kind, colon, _ = text.partition(":")
    typed = [each for each in found if colon and each.type == kind]
    holders: Mapping[str, Held] = {each.profile_id: each for each in typed or found}
    match list(holders):
        case []:
            raise NotFound("no profile has this identifier; is it written as it was sent?")
        case [profile_id]:
            return profile_id
        case several:
            types = sorted({each.type for each in found})
            example = " or ".join(f"{kind}:…" for kind in types)
            raise NotFound(f"{len(several)} profiles have this identifier; write {example}")


def spellings(value: str) -> list[str]:
    """The forms under which a value may be stored."""
    forms = {value, *(normalise(value) for normalise in NORMALISERS.values())}
    return sorted(form for form in forms if form)


async def _holders(dsn: str, text: str) -> list[Held]:
    kind, _, rest = text.partition(":")
    try:
        connection: Any = await asyncpg.connect(dsn, timeout=_TIMEOUT_S)
    except AWAY as error:
        raise NotFound(
            "PostgreSQL does not answer, so identifiers cannot be looked up: "
            "set AFFLUX_POSTGRES_DSN, or write a profile id"
        ) from error
    try:
        rows = await connection.fetch(_QUERY, spellings(text), kind, spellings(rest), ALIAS)
    except asyncpg.UndefinedTableError as error:
        raise NotFound("no identifiers are known yet") from error
    finally:
        await connection.close()
    return [Held(*row) for row in rows]
