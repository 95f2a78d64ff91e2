"""Random conditions and random histories, dense enough that borders are hit to the millisecond.

Drawn from a seeded generator: several times cheaper than composed strategies, so more is tried.
"""

from datetime import UTC, datetime
from random import Random
from typing import Any

from hypothesis import strategies

START = 1_764_000_000_000
DURATIONS = ("2ms", "3ms", "5ms", "9ms", "16ms")
SCALARS = (0, 1, 1.0, 2, True, "x", "X")
AMOUNTS = (-1, 0, 1, 1, 0.1, 0.1, 0.3, 1.5, 1e-7, 2.5e-6, 2**63 - 1, 1e300, "x", True, None)
NAMES = ("A", "A", "A", "B", "B", "B", "$page")


def text_of(at: int) -> str:
    """The instant as RFC 3339 text."""
    seconds, milliseconds = divmod(at, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{milliseconds:03}Z"


def instant(rng: Random) -> str:
    """Somewhere within a story."""
    return text_of(START + rng.randint(-5, 45))


def comparison(rng: Random) -> dict[str, Any]:
    """An operator that does not change by time."""
    match rng.randrange(7):
        case 0:
            return {"op": rng.choice(("equals", "not_equals")), "value": rng.choice(SCALARS)}
        case 1:
            return {"op": rng.choice(("at_least", "less_than")), "value": rng.randint(0, 2)}
        case 2 | 3:
            return {"op": rng.choice(("exists", "is_absent"))}
        case 4:
            return {"op": "any_of", "value": [1, "x"]}
        case 5:
            return {"op": "none_of", "value": [2, "x"], "ignore_case": True}
        case _:
            return {"op": "before", "value": instant(rng)}


def timed(rng: Random) -> dict[str, Any]:
    """An operator that changes by time alone."""
    return {"op": rng.choice(("in_last", "in_next", "over_ago")), "value": rng.choice(DURATIONS)}


def window(rng: Random) -> dict[str, Any]:
    """Mostly `within`."""
    match rng.randrange(6):
        case 0 | 1 | 2:
            return {"within": rng.choice(DURATIONS)}
        case 3:
            return {"since": instant(rng)}
        case 4:
            return {"between": sorted((instant(rng), instant(rng)))}
        case _:
            return {}


def happening(rng: Random) -> dict[str, Any]:
    """An event of a condition: a name, sometimes a where-clause."""
    found: dict[str, Any] = {"event": rng.choice(NAMES)}
    if rng.random() < 0.35:
        found["where"] = [clause(rng) for _ in range(rng.choice((1, 1, 2)))]
    return found


def clause(rng: Random) -> dict[str, Any]:
    """One comparison of a property."""
    if rng.random() < 0.5:
        return {"property": "d", **timed(rng)}
    return {"property": rng.choice(("v", "$context.k", "name")), **comparison(rng)}


def leaf(rng: Random) -> dict[str, Any]:
    """A leaf of any kind."""
    match rng.randrange(14):
        case 0 | 1:
            return {**happening(rng), **count(rng), **window(rng)}
        case 2 | 3:
            return {**happening(rng), **measure(rng), **window(rng)}
        case 4 | 5:
            return {**happening(rng), **distinct(rng), **window(rng)}
        case 6:
            return trait(rng)
        case 7 | 8:
            return first_or_last(rng)
        case 9 | 10:
            return related(rng)
        case 11:
            return {"percent": rng.choice((0, 33.33, 50, 99.9, 100)), "salt": rng.choice("ab")}
        case _:
            return sequence(rng)


def count(rng: Random) -> dict[str, Any]:
    """How often."""
    if rng.random() < 0.2:
        return {}
    return {"count": {rng.choice(("at_least", "at_most", "exactly")): rng.randint(0, 3)}}


def measure(rng: Random) -> dict[str, Any]:
    """A number over the events, and what it is compared with."""
    name = rng.choice(("sum", "sum", "average", "minimum", "maximum"))
    if rng.random() < 0.2:
        return {name: "n", "op": "between", "value": [0.1, 1.6]}
    op = rng.choice(("greater_than", "at_least", "less_than", "at_most"))
    return {name: "n", "op": op, "value": rng.choice((0, 1, 0.2, 0.4, 2.5e-6, 2**63 - 1))}


def distinct(rng: Random) -> dict[str, Any]:
    """How many different values."""
    path = rng.choice(("v", "k", "n"))
    if rng.random() < 0.2:
        return {"distinct": path, "op": "any_of", "value": [0, 2.0, 3.5]}
    op = rng.choice(("equals", "not_equals", "greater_than", "at_least", "less_than", "at_most"))
    return {"distinct": path, "op": op, "value": rng.choice((0, 1, 2, 2, 2.5, 3))}


def first_or_last(rng: Random) -> dict[str, Any]:
    """A property of the first or last event."""
    found = happening(rng)
    compared = timed(rng) if rng.random() < 0.35 else comparison(rng)
    path = "d" if "in_" in compared["op"] or rng.random() < 0.3 else rng.choice(("v", "k"))
    where = {key: found[key] for key in found if key == "where"}
    return {rng.choice(("first", "last")): found["event"], **where, "property": path, **compared}


def related(rng: Random) -> dict[str, Any]:
    """So many rows, or a number over them."""
    asked = rng.choice((count, count, measure, distinct))(rng)
    found = {"related": rng.choice("RS"), **asked}
    if rng.random() < 0.5:
        found["where"] = [
            {"column": "d", **timed(rng)}
            if rng.random() < 0.5
            else {"column": "v", **comparison(rng)}
        ]
    return found


def trait(rng: Random) -> dict[str, Any]:
    """A trait, often for some time."""
    compared = timed(rng) if rng.random() < 0.35 else comparison(rng)
    steady = {"for_at_least": rng.choice(DURATIONS)} if rng.random() < 0.6 else {}
    return {"trait": rng.choice(("p", "p", "q.r", "group.p", "group.q.r")), **compared, **steady}


def sequence(rng: Random) -> dict[str, Any]:
    """Two to four steps, half of them ended by an absent one."""
    steps = [happening(rng)]
    ends_absent = rng.random() < 0.5
    for _ in range(rng.choice((0, 0, 1, 2)) if ends_absent else rng.choice((1, 1, 2, 3))):
        within = {"within": rng.choice(DURATIONS)} if rng.random() < 0.5 else {}
        steps.append({**happening(rng), **within})
    if ends_absent:
        steps.append({"absent": happening(rng), "wait": rng.choice(DURATIONS)})
    by = rng.choice(({}, {}, {"by": "k"}, {"by": "$context.k"}))
    return {"sequence": steps, **by, **window(rng)}


def tree(rng: Random, pool: list[dict[str, Any]], depth: int = 0) -> dict[str, Any]:
    """A condition over the leaves of a pool, so that an edit keeps their history."""
    kind = rng.choice(("leaf", "not", "all", "any")) if depth < 3 else "leaf"
    if kind == "leaf":
        return rng.choice(pool)
    if kind == "not":
        return {"not": tree(rng, pool, depth + 1)}
    return {kind: [tree(rng, pool, depth + 1) for _ in range(rng.randint(1, 3))]}


def event(rng: Random) -> dict[str, Any]:
    """Something that happens: type, name and content."""
    choice = rng.random()
    if choice < 0.3:
        return _write(rng)
    if choice < 0.45:
        return _relation(rng)
    properties = {
        "k": rng.choice((0, 0, 0, 1, True, None)),
        "d": instant(rng),
        "v": rng.choice(SCALARS),
        "n": rng.choice(AMOUNTS),
    }
    if rng.random() < 0.3:
        properties["name"] = rng.choice(SCALARS)
    context = rng.choice((None, {"k": 0}, {"k": 0}, {"k": 1}))
    if rng.random() < 0.2:
        kind, name = rng.choice(("page", "screen")), rng.choice((None, "x"))
    else:
        kind, name = "track", rng.choice("AB")
    return {"type": kind, "name": name, "properties": properties, "context": context}


def _write(rng: Random) -> dict[str, Any]:
    traits: dict[str, Any] = {}
    if rng.random() < 0.8:
        traits["p"] = _value(rng)
    if rng.random() < 0.4:
        traits["q"] = rng.choice((_value(rng), {"r": _value(rng)}))
    if rng.random() < 0.2:
        traits["group"] = rng.choice(({"p": 1}, {}, None))
    return {"type": rng.choice(("identify", "identify", "group")), "name": None, "traits": traits}


def _relation(rng: Random) -> dict[str, Any]:
    """A row at a position. What a row looks like at one position is always the same."""
    key, position = rng.randrange(3), rng.randrange(6)
    op = rng.choice(("link", "link", "unlink"))
    row: dict[str, Any] = {"key": f"k{key}", "op": op, "position": f"{position:02}"}
    if op == "link":
        looks = Random(f"{key} {position}")
        row["columns"] = {
            "d": instant(looks),
            "v": looks.choice(SCALARS),
            "n": looks.choice(AMOUNTS),
        }
    return {"type": "relation", "name": rng.choice("RS"), "row": row}


def _value(rng: Random) -> Any:
    match rng.randrange(5):
        case 0 | 1:
            return instant(rng)
        case 2:
            return rng.choice((None, [1, "X", None], [], {"r": 1}))
        case _:
            return rng.choice(SCALARS)


leaves = strategies.integers(0, 2**40).map(lambda seed: leaf(Random(seed)))
happenings = strategies.integers(0, 2**40).map(lambda seed: event(Random(seed)))
