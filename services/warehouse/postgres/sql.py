"""Names in SQL."""


def quoted(name: str) -> str:
    """An identifier."""
    return '"' + name.replace('"', '""') + '"'


def quoted_relation(relation: str) -> str:
    """`schema.table`."""
    return ".".join(quoted(part) for part in relation.split(".", 1))
