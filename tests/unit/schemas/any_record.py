"""Any record that there can be, of each kind."""

import types
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
from hypothesis import strategies as st

from schemas.codec import SCHEMAS

LATEST = {kind: schema_id for schema_id, (kind, _) in SCHEMAS.items()}
LONGS = st.integers(-(2**63), 2**63 - 1) | st.integers(-9_000, 9_000)
BYTES = st.binary(max_size=100) | st.integers(0, 9_000).map(bytes)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=40) | st.integers(0, 9_000).map("é".__mul__)


def values(hint: Any) -> st.SearchStrategy[Any]:
    """Of a field's type, as far as our records have it."""
    plain: dict[Any, st.SearchStrategy[Any]] = {
        **{str: TEXTS, bytes: BYTES, int: LONGS, bool: st.booleans(), type(None): st.none()}
    }
    if hint in plain:
        return plain[hint]
    arguments = get_args(hint)
    if get_origin(hint) is Literal:
        return st.sampled_from(arguments)
    if get_origin(hint) in (Union, types.UnionType):
        return st.one_of(*map(values, arguments))
    if get_origin(hint) is tuple:
        return st.lists(values(arguments[0]), max_size=4).map(tuple)
    return records(hint)


def records(kind: type[msgspec.Struct]) -> st.SearchStrategy[Any]:
    return st.builds(kind, **{name: values(t) for name, t in get_type_hints(kind).items()})
