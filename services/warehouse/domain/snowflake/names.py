"""Names in Snowflake: upper case unless they are quoted."""

import re
from collections.abc import Collection

_PART = re.compile(r'"(?:[^"]|"")+"|[^."]+')


def parts_of(address: str) -> tuple[str, ...]:
    """As they are written: `crm."Our.Customers"` has two."""
    return tuple(_PART.findall(address))


def folded(name: str) -> str:
    """As the catalog has it."""
    return _unquoted(name) if _is_quoted(name) else name.upper()


def quoted(name: str) -> str:
    """As it stands in a statement."""
    return '"' + name.replace('"', '""') + '"'


def meant(name: str, there: Collection[str]) -> str | None:
    """Which of those that are there a model means; without quotes the case does not matter."""
    if folded(name) in there:
        return folded(name)
    if _is_quoted(name):
        return None
    return next((each for each in sorted(there) if each.lower() == name.lower()), None)


def _is_quoted(name: str) -> bool:
    return len(name) > 2 and name.startswith('"') and name.endswith('"')


def _unquoted(name: str) -> str:
    return name[1:-1].replace('""', '"')
