"""The statement of a model: one SELECT that changes nothing, to be used as a subquery."""

from collections.abc import Mapping
from types import MappingProxyType

from sqlglot import exp, parse

_REFUSED: Mapping[type[exp.Expr], str] = MappingProxyType(
    {
        exp.DML: "changes data",
        exp.DDL: "changes the database",
        exp.Drop: "changes the database",
        exp.Into: "writes a table: leave INTO out",
        exp.Lock: "locks rows: leave FOR UPDATE or FOR SHARE out",
        exp.Command: "is more than a SELECT",
        exp.Placeholder: "has a placeholder, and nothing is filled in",
        exp.Parameter: "has a placeholder, and nothing is filled in",
    }
)
"""What may stand nowhere in it, not even in a WITH."""


class NotOneSelect(ValueError):
    """The sentence says why."""


def subquery(text: str, dialect: str) -> str:
    """The statement as it stands, for between parentheses.

    Raises:
        NotOneSelect: it is anything else, or this dialect does not know it.
    """
    statement = text.strip().rstrip(";").rstrip()
    try:
        parsed = [one for one in parse(statement, dialect=dialect) if one is not None]
    except Exception:  # of any kind: the parser stumbles over some texts that are no SQL
        raise NotOneSelect(f"cannot be read as SQL of {dialect}") from None
    if len(parsed) != 1:
        raise NotOneSelect("must be exactly one SELECT")
    if not isinstance(parsed[0], exp.Select | exp.SetOperation):
        raise NotOneSelect("must be a SELECT and nothing else")
    for node in parsed[0].walk():
        for refused, why in _REFUSED.items():
            if isinstance(node, refused) and not isinstance(node, exp.Query):
                raise NotOneSelect(why)
        if dialect == "snowflake" and _acts(node):
            raise NotOneSelect("acts on the account: only tables and views may be read")
    return f"(\n{statement}\n)"


def _acts(node: exp.Expr) -> bool:
    """What Snowflake, which has no read-only sessions, would do in a SELECT."""
    name = node.name.upper()
    if isinstance(node, exp.Column):
        return name == "NEXTVAL"
    return isinstance(node, exp.Anonymous) and name.startswith("SYSTEM$")


def quoted(name: str, dialect: str) -> str:
    """An identifier."""
    return exp.to_identifier(name, quoted=True).sql(dialect=dialect)


def literal(text: str, dialect: str) -> str:
    """A text."""
    return exp.Literal.string(text).sql(dialect=dialect)
