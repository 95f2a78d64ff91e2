"""Values and comparisons at the corners: large numbers, odd texts, paths, arrays, dates."""

from random import Random
from typing import Any

from tests.unit.segmenter import histories

NUMBERS = (
    0,
    -0.0,
    1,
    1.0,
    0.1,
    2**53,
    2**53 + 1,
    float(2**53),
    4611686018427387950,
    4.611686018427388e18,
    -(2**63),
    2**63 - 1,
    float(2**63),
    10**29 + 7,
    1e29,
    1e300,
    2.5e-6,
    5e-324,
    -(2**63) - 1,
    2**64,
    1.5e-6,
    -0.5e-6,
    1.7976931348623157e308,
)
TEXTS = (
    "",
    "x",
    "X",
    "straße",
    "STRASSE",
    "İstanbul",
    "a_b",
    "a%b",
    "a\\b",
    "a*b",
    "a\nb",
    "😀b",
    "1",
    "true",
    "2024-02-29",
    "2024-02-30",
    "2025-11-24T16:00:00.001+01:00",
    "2025-11-24 15:59:59",
    "'\"",
    "ﬁ",
    "ΣΑΣ",
    "σας",
    "ŉ",
    "\uffff",
    "\U00010000",
    "２０２４-02-29",
    "2024-02-29t23:59:59.9999z",
    "2024-12-31T23:59:60Z",
    "2024-02-29T24:00:00Z",
    "9999-12-31T23:59:59.999-23:59",
    "0001-01-01T00:00:00+23:59",
)
SCALARS = (*NUMBERS, *TEXTS, True, False)
PATTERNS = ("", "*", "?", "a?b", "*b", "a*", "*_*", "a%b", "?b", "*SS*", "a\\b", "[a]", "*ΣΑΣ")
PATHS = ("v", "a.b", "a\\.b", "a.b.c", "$context.v", "$context.a.b")
NUMBER_OPS = ("greater_than", "at_least", "less_than", "at_most")
DATE_OPS = ("before", "after")


def value(rng: Random, depth: int = 0) -> Any:
    """Anything that JSON can say."""
    choice = rng.random()
    if choice < 0.1:
        return None
    if choice < 0.2 and depth < 2:
        return [value(rng, depth + 1) for _ in range(rng.randrange(4))]
    if choice < 0.3 and depth < 2:
        return {key: value(rng, depth + 1) for key in ("b", "c")}
    if choice < 0.4:
        return histories.instant(rng)
    return rng.choice(SCALARS)


def event(rng: Random) -> dict[str, Any]:
    """An event or a write with such values."""
    content = {"v": value(rng), "a": {"b": value(rng)}, "a.b": value(rng)}
    if rng.random() < 0.5:
        kind = rng.choice(("identify", "group"))
        return {"type": kind, "name": None, "traits": {**content, "group": {"v": value(rng)}}}
    kind, name = rng.choice((("track", "A"), ("track", "A"), ("page", "x"), ("page", None)))
    return {"type": kind, "name": name, "properties": content, "context": content}


def comparison(rng: Random) -> dict[str, Any]:
    """Any operator with any value that it takes."""
    found: dict[str, Any]
    match rng.randrange(12):
        case 0:
            found = {"op": rng.choice(("equals", "not_equals")), "value": rng.choice(SCALARS)}
        case 1 | 2:
            many = [rng.choice(SCALARS) for _ in range(rng.randrange(5))]
            found = {"op": rng.choice(("any_of", "none_of")), "value": many}
        case 3:
            found = {"op": rng.choice(("contains", "not_contains")), "value": rng.choice(SCALARS)}
        case 4:
            found = {"op": rng.choice(("starts_with", "ends_with")), "value": rng.choice(TEXTS)}
        case 5:
            found = {"op": "matches", "value": rng.choice(PATTERNS)}
        case 6 | 7:
            return {"op": rng.choice(NUMBER_OPS), "value": rng.choice(NUMBERS)}
        case 8:
            low, high = sorted((rng.choice(NUMBERS), rng.choice(NUMBERS)))
            return {"op": "between", "value": [low, high]}
        case 9:
            return {"op": rng.choice(("exists", "is_absent"))}
        case 10:
            return {"op": rng.choice(DATE_OPS), "value": histories.instant(rng)}
        case _:
            return rng.choice((histories.timed(rng), {"op": "on", "value": "2024-02-29"}))
    return found | ({"ignore_case": True} if rng.random() < 0.4 else {})


def leaf(rng: Random) -> dict[str, Any]:
    """A condition over such values."""
    match rng.randrange(6):
        case 0 | 1:
            path = rng.choice(("v", "a.b", "a\\.b", "group.v", "group.a.b", "group"))
            steady = {"for_at_least": "3ms"} if rng.random() < 0.4 else {}
            return {"trait": path, **comparison(rng), **steady}
        case 2:
            name = rng.choice(("sum", "average", "minimum", "maximum"))
            bound = {"op": rng.choice(NUMBER_OPS), "value": rng.choice(NUMBERS)}
            return {"event": "A", name: rng.choice(PATHS), **bound}
        case 3:
            bound = {"op": rng.choice(NUMBER_OPS), "value": rng.choice((0, 1, 2, 2.5, 1e300))}
            return {"event": "A", "distinct": rng.choice(PATHS), **bound}
        case 4:
            end = rng.choice(("first", "last"))
            return {end: rng.choice(("A", "$page")), "property": "name", **comparison(rng)}
        case _:
            where = [{"property": rng.choice(PATHS), **comparison(rng)}]
            return {"event": rng.choice(("A", "$page")), "where": where}
