"""Names at Databricks: case does not matter, and backticks hold what is more than letters."""

import re
from collections.abc import Collection, Sequence

_PART = re.compile(r"`(?:[^`]|``)+`|[^.]+")


def parts_of(address: str) -> tuple[str, ...]:
    """Without backticks: crm.`our.customers` has two."""
    return tuple(_bare(part) for part in _PART.findall(address))


def quoted(name: str) -> str:
    """As it stands in a statement."""
    return "`" + name.replace("`", "``") + "`"


def address_text(parts: Sequence[str]) -> str:
    """Of a table, as it stands in a statement."""
    return ".".join(map(quoted, parts))


def meant(name: str, there: Collection[str]) -> str | None:
    """Which of those that are there a model means."""
    if name in there:
        return name
    return next((each for each in there if each.lower() == name.lower()), None)


def _bare(part: str) -> str:
    if len(part) > 2 and part.startswith("`") and part.endswith("`"):
        return part[1:-1].replace("``", "`")
    return part
