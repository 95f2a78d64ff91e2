"""A second reading of the segment language: slow, from all events ever, sharing no code.

It keeps everything that was applied to a profile and answers membership at any instant from
scratch. Time goes by in milliseconds; between two of them nothing is asked, but
`for_at_least` is continuous, so it works on whole stretches.
"""

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from fractions import Fraction
from functools import cache
from typing import Any

UNITS = {"w": 604800000, "d": 86400000, "h": 3600000, "m": 60000, "ms": 1, "s": 1000}


@dataclass
class Seen:
    """One applied event, with the `at` it got."""

    type: str
    name: str | None
    at: int
    message_id: str
    properties: Any = None
    traits: Any = None
    context: Any = None
    row: Any = None
    called: str | None = field(init=False)

    def __post_init__(self) -> None:
        calls = {"page": "$page", "screen": "$screen", "track": self.name}
        self.called = calls.get(self.type)


@dataclass
class Person:
    """Everything that was ever applied to a profile."""

    events: list[Seen] = field(default_factory=list)
    id: str = ""


def member(where: dict[str, Any], person: Person, now: int, others: dict[str, Any]) -> bool:
    """Whether the condition holds at `now`."""
    if not person.events:
        return False
    return _holds(where, person, now, others)


def _holds(c: dict[str, Any], person: Person, now: int, others: dict[str, Any]) -> bool:
    if "all" in c:
        return all(_holds(m, person, now, others) for m in c["all"])
    if "any" in c:
        return any(_holds(m, person, now, others) for m in c["any"])
    if "not" in c:
        return not _holds(c["not"], person, now, others)
    if "in_segment" in c:
        other = others.get(c["in_segment"])
        return other is not None and _holds(other, person, now, others)
    if "trait" in c:
        return _trait(c, person, now)
    if "sequence" in c:
        return _sequence(c, person, now)
    if "first" in c or "last" in c:
        return _first_or_last(c, person, now)
    if "related" in c:
        return _related(c, person, now)
    if "percent" in c:
        digest = hashlib.blake2b(f"{c['salt']}\0{person.id}".encode(), digest_size=8).hexdigest()
        return Fraction(int(digest, 16), 2**64) < Fraction(str(c["percent"])) / 100
    return _count(c, person, now)


@cache
def length(text: str) -> int:
    """Milliseconds of a duration."""
    digits = text.rstrip("wdhms")
    return int(digits) * UNITS[text[len(digits) :]]


# Values


def moment(value: Any) -> int | None:
    """Milliseconds of an instant text."""
    return _moment(value) if isinstance(value, str) else None


@cache
def _moment(value: str) -> int | None:
    shape = (
        r"(\d\d\d\d)-(\d\d)-(\d\d)"
        r"(?:[Tt ](\d\d):(\d\d):(\d\d)(\.\d+)?(Z|z|[+-]\d\d:\d\d)?)?"
    )
    m = re.fullmatch(shape, value, re.ASCII)
    if m is None:
        return None
    zone = UTC
    offset = m[8]
    if offset and offset not in "Zz":
        hours, minutes = int(offset[1:3]), int(offset[4:6])
        if hours > 23 or minutes > 59:
            return None
        sign = -1 if offset[0] == "-" else 1
        zone = timezone(sign * timedelta(hours=hours, minutes=minutes))
    year, month, day, hour, minute, second = (int(m[i] or 0) for i in range(1, 7))
    try:
        when = datetime(year, month, day, hour, minute, second, tzinfo=zone)
    except ValueError:
        return None
    whole = (when - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    return whole + int(((m[7] or ".")[1:] + "000")[:3])


def exact(value: Any) -> Any:
    """Something that compares within its type only."""
    if isinstance(value, bool):
        return ("bool", value)
    if isinstance(value, int | float):
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            try:
                value = float(value)
            except OverflowError:
                return None
        return ("number", value)
    if isinstance(value, str):
        return ("text", value)
    return None


def dig(value: Any, path: str) -> Any:
    parts = [p.replace("\0", ".") for p in path.replace("\\.", "\0").split(".")]
    for part in parts:
        value = value.get(part) if isinstance(value, dict) else None
    return value


def compare(c: dict[str, Any], actual: Any, now: int) -> bool:  # noqa: PLR0912  # one case each
    """One operator on one value."""
    op = c["op"]
    wanted: Any = c.get("value")
    if isinstance(actual, int) and not isinstance(actual, bool) and exact(actual) is None:
        actual = None
    if op == "exists":
        return actual is not None
    if op == "is_absent":
        return actual is None
    if actual is None:
        return False
    if c.get("ignore_case"):
        actual, wanted = fold(actual), fold(wanted)
    if op in ("equals", "not_equals"):
        a, w = exact(actual), exact(wanted)
        if a is None or a[0] != w[0]:
            return False
        return bool((a == w) is (op == "equals"))
    if op in ("any_of", "none_of"):
        if isinstance(actual, dict):
            return False
        items = actual if isinstance(actual, list) else [actual]
        listed = [exact(w) for w in wanted]
        hit = any(exact(i) is not None and exact(i) in listed for i in items)
        return hit is (op == "any_of")
    if op in ("contains", "not_contains"):
        if isinstance(actual, list):
            hit = any(exact(i) is not None and exact(i) == exact(wanted) for i in actual)
        elif isinstance(actual, str) and isinstance(wanted, str):
            hit = wanted in actual
        else:
            return False
        return hit is (op == "contains")
    if op in ("greater_than", "at_least", "less_than", "at_most", "between"):
        return _numeric(op, actual, wanted)
    if op in ("starts_with", "ends_with", "matches"):
        return isinstance(actual, str) and _textual(op, actual, wanted)
    return _dated(op, moment(actual), wanted, now)


def fold(value: Any) -> Any:
    if isinstance(value, list):
        return [fold(v) for v in value]
    return value.casefold() if isinstance(value, str) else value


def _numeric(op: str, actual: Any, wanted: Any) -> bool:
    a = exact(actual)
    if a is None or a[0] != "number":
        return False
    if op == "between":
        low, high = (exact(bound)[1] for bound in wanted)
        return bool(low <= a[1] <= high)
    w = exact(wanted)[1]
    return bool(
        {"greater_than": a[1] > w, "at_least": a[1] >= w, "less_than": a[1] < w}.get(op, a[1] <= w)
    )


def _textual(op: str, actual: str, wanted: str) -> bool:
    if op == "starts_with":
        return actual[: len(wanted)] == wanted
    if op == "ends_with":
        return actual[len(actual) - len(wanted) :] == wanted if wanted else True
    return _wild(wanted, actual)


def _wild(pattern: str, text: str) -> bool:
    if not pattern:
        return not text
    if pattern[0] == "*":
        return _wild(pattern[1:], text) or (bool(text) and _wild(pattern, text[1:]))
    return bool(text) and pattern[0] in ("?", text[0]) and _wild(pattern[1:], text[1:])


def _dated(op: str, v: int | None, wanted: str, now: int) -> bool:
    if v is None:
        return False
    if op in ("before", "after", "on"):
        w = moment(wanted)
        assert w is not None
        return v < w if op == "before" else v > w if op == "after" else w <= v < w + 86400000
    d = length(wanted)
    if op == "in_last":
        return now - d < v <= now
    return now < v <= now + d if op == "in_next" else v <= now - d


# Events


def matching(c: dict[str, Any], person: Person, now: int) -> list[Seen]:
    """The events of that name for which the whole where-clause holds at `now`."""
    where = c.get("where", [])
    return [
        e
        for e in person.events
        if e.called == c["event"]
        and e.at <= now
        and (not where or all(compare(w, _read(e, w["property"]), now) for w in where))
    ]


def _read(e: Seen, path: str) -> Any:
    if path.startswith("$context."):
        return dig(e.context, path[len("$context.") :])
    properties = dict(e.properties) if isinstance(e.properties, dict) else {}
    if e.type in ("page", "screen") and e.name is not None:
        properties["name"] = e.name
    return dig(properties, path)


def in_window(c: dict[str, Any], at: int, now: int) -> bool:
    if at > now:
        return False
    if "within" in c:
        return now - length(c["within"]) < at
    if "since" in c:
        since = moment(c["since"])
        return since is not None and at >= since
    if "between" in c:
        low, high = (moment(b) for b in c["between"])
        return low is not None and high is not None and low <= at < high
    return True


def _count(c: dict[str, Any], person: Person, now: int) -> bool:
    events = [e for e in matching(c, person, now) if in_window(c, e.at, now)]
    return _number(c, len(events), lambda path: [_read(e, path) for e in events])


def _number(c: dict[str, Any], n: int, values: Callable[[str], list[Any]]) -> bool:
    """A count, a measure or a number of different values, of events or of rows."""
    for measure in ("sum", "average", "minimum", "maximum"):
        if measure in c:
            return _measure(c, measure, values(c[measure]))
    if "distinct" in c:
        different: list[Any] = []
        for value in map(exact, values(c["distinct"])):
            if value is not None and value not in different:
                different.append(value)
        return compare(c, len(different), 0)
    ((bound, wanted),) = c.get("count", {"at_least": 1}).items()
    return bool({"at_least": n >= wanted, "at_most": n <= wanted, "exactly": n == wanted}[bound])


def _measure(c: dict[str, Any], measure: str, values: list[Any]) -> bool:
    numbers = [millionth(e[1]) for e in map(exact, values) if e is not None and e[0] == "number"]
    if not numbers:
        return False
    found = {
        "sum": Fraction(sum(numbers)),
        "average": Fraction(sum(numbers), len(numbers)),
        "minimum": Fraction(min(numbers)),
        "maximum": Fraction(max(numbers)),
    }[measure]
    if c["op"] == "between":
        low, high = map(millionth, c["value"])
        return low <= found <= high
    bound = millionth(c["value"])
    return {
        "greater_than": found > bound,
        "at_least": found >= bound,
        "less_than": found < bound,
        "at_most": found <= bound,
    }[c["op"]]


def millionth(value: Any) -> int:
    """Of an integer beyond 64 bits the nearest double's."""
    return round(Fraction(exact(value)[1]) * 1000000)


def _first_or_last(c: dict[str, Any], person: Person, now: int) -> bool:
    name = "first" if "first" in c else "last"
    events = matching({**c, "event": c[name]}, person, now)
    events.sort(key=lambda e: (e.at, e.message_id))
    one = [(e.at, e.message_id) for e in events][0 if name == "first" else -1 :][:1]
    same = [e for e in events if [(e.at, e.message_id)] == one]
    return any(compare(c, _read(e, c["property"]), now) for e in same)


def _related(c: dict[str, Any], person: Person, now: int) -> bool:
    """Of each row the record with the greatest position; there a link beats an unlink."""
    latest: dict[str, Any] = {}
    for e in person.events:
        if e.type == "relation" and e.name == c["related"]:
            latest.setdefault(e.row["key"], []).append(e.row)
    rows = [max(said, key=lambda r: (r["position"], r["op"] == "link")) for said in latest.values()]
    columns = [r["columns"] for r in rows if r["op"] == "link"]
    where = c.get("where", [])
    found = [r for r in columns if all(compare(w, r.get(w["column"]), now) for w in where)]
    return _number(c, len(found), lambda column: [r.get(column) for r in found])


def _sequence(c: dict[str, Any], person: Person, now: int) -> bool:
    steps, last = c["sequence"], c["sequence"][-1]
    if "absent" not in last:
        return any(in_window(c, e.at, now) for e, _ in _chains(steps, c, person, now))
    wait = length(last["wait"])
    return any(
        now >= e.at + wait
        and in_window(c, e.at + wait, now)
        and not any(
            e.at < a.at <= now and ("by" not in c or exact(_read(a, c["by"])) == by)
            for a in matching(last["absent"], person, now)
        )
        for e, by in _chains(steps[:-1], c, person, now)
    )


def _chains(
    steps: list[Any], c: dict[str, Any], person: Person, now: int
) -> Iterator[tuple[Seen, Any]]:
    """The last event of every chain, by trying all of them, with its `by` value."""
    partial: list[tuple[Seen, Any]] = []
    for index, step in enumerate(steps):
        found = []
        for e in matching(step, person, now):
            by = exact(_read(e, c["by"])) if "by" in c else None
            if "by" in c and by is None:
                continue
            near = length(step["within"]) if "within" in step else 10**18
            if index == 0 or any(
                p.at < e.at and e.at - p.at <= near and by == key for p, key in partial
            ):
                found.append((e, by))
        partial = found
    yield from partial


# Traits


def _writes(path: str, person: Person) -> list[tuple[int, str, Any]]:
    """Every write that matters to the path and what it says there, in order."""
    marked = path.replace("\\.", "\0")
    top, _, rest = marked.partition(".")
    top, rest = top.replace("\0", "."), rest.replace("\0", "\\.")
    found = []
    for e in person.events:
        traits = e.traits if isinstance(e.traits, dict) else {}
        if e.type == "identify" and top in traits:
            value = dig(traits[top], rest) if rest else traits[top]
            found.append((e.at, e.message_id, 0, value))
        if e.type == "group" and top == "group" and rest:
            key, _, deeper = rest.replace("\\.", "\0").partition(".")
            key, deeper = key.replace("\0", "."), deeper.replace("\0", "\\.")
            if key in traits:
                value = dig(traits[key], deeper) if deeper else traits[key]
                found.append((e.at, e.message_id, 1, value))
    first_known = {w[:3]: w for w in reversed(found)}
    latest = {w[:2]: w for w in sorted(first_known.values(), key=lambda w: w[:3])}
    return [(at, message_id, value) for at, message_id, _, value in latest.values()]


def _trait(c: dict[str, Any], person: Person, now: int) -> bool:
    writes = [w for w in _writes(c["trait"], person) if w[0] <= now]
    if "for_at_least" not in c:
        return compare(c, writes[-1][2] if writes else None, now)
    return _steadily(c, writes, now)


def _steadily(c: dict[str, Any], writes: list[tuple[int, str, Any]], now: int) -> bool:
    """Whether the comparison was true at every instant of the open-closed stretch up to now.

    Its truth changes at whole milliseconds only, so it is asked at each one, and for the first
    at the start of the stretch, which stands for the instants just behind it.
    """
    start = now - length(c["for_at_least"])
    edges = {start, now}
    for at, _, value in writes:
        edges.add(at)
        v = moment(value)
        if v is not None and c["op"] in ("in_last", "in_next", "over_ago"):
            d = length(c["value"])
            edges |= {v, v - d, v + d}
    return all(compare(c, _value_at(writes, t), t) for t in sorted(edges) if start <= t <= now)


def _value_at(writes: list[tuple[int, str, Any]], t: int) -> Any:
    earlier = [w for w in writes if w[0] <= t]
    return earlier[-1][2] if earlier else None
