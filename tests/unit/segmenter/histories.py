"""Random conditions and random histories, dense enough that borders are hit to the millisecond."""

from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

START = 1_764_000_000_000
NAMES = ("A", "B", "C")


def text_of(at: int) -> str:
    """The instant as RFC 3339 text."""
    seconds, milliseconds = divmod(at, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{milliseconds:03}Z"


durations = st.sampled_from(["1ms", "3ms", "7ms", "15ms", "40ms"])
instants = st.integers(-15, 60).map(lambda offset: text_of(START + offset))
small = st.integers(0, 2)
scalars = st.sampled_from([0, 1, 1.0, 2, True, "x", "X"])

timed_comparisons = st.fixed_dictionaries(
    {"op": st.sampled_from(["in_last", "in_next", "over_ago"]), "value": durations}
)
comparisons = st.one_of(
    st.fixed_dictionaries({"op": st.sampled_from(["equals", "not_equals"]), "value": scalars}),
    st.fixed_dictionaries(
        {"op": st.sampled_from(["at_least", "less_than"]), "value": st.integers(0, 2)}
    ),
    st.fixed_dictionaries({"op": st.sampled_from(["exists", "is_absent"])}),
    st.just({"op": "any_of", "value": [1, "x"]}),
    st.just({"op": "none_of", "value": [2, "x"], "ignore_case": True}),
    st.builds(lambda at: {"op": "before", "value": at}, instants),
)

windows: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.just({}),
    durations.map(lambda d: {"within": d}),
    durations.map(lambda d: {"within": d}),
    instants.map(lambda at: {"since": at}),
    st.tuples(instants, instants).map(lambda pair: {"between": sorted(pair)}),
)

clauses = st.one_of(
    st.builds(lambda c: {"property": "v", **c}, comparisons),
    st.builds(lambda c: {"property": "d", **c}, timed_comparisons),
    st.builds(lambda c: {"property": "$context.k", **c}, comparisons),
    st.builds(lambda c: {"property": "name", **c}, comparisons),
)
wheres = st.one_of(
    st.just({}), st.just({}), st.lists(clauses, min_size=1, max_size=2).map(lambda w: {"where": w})
)
named = st.sampled_from([*NAMES, "$page"])

counts: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.just({}),
    st.tuples(st.sampled_from(["at_least", "at_most", "exactly"]), st.integers(0, 3)).map(
        lambda pair: {"count": {pair[0]: pair[1]}}
    ),
)
event_leaves = st.builds(
    lambda event, where, count, window: {"event": event, **where, **count, **window},
    named,
    wheres,
    counts,
    windows,
)

trait_leaves = st.builds(
    lambda path, compared, steady: {"trait": path, **compared, **steady},
    st.sampled_from(["p", "p", "q.r", "group.p", "group.q.r"]),
    st.one_of(comparisons, timed_comparisons),
    st.one_of(st.just({}), durations.map(lambda d: {"for_at_least": d})),
)

plain_steps = st.builds(lambda event, where: {"event": event, **where}, named, wheres)
later_steps = st.builds(
    lambda step, within: {**step, **within},
    plain_steps,
    st.one_of(st.just({}), durations.map(lambda d: {"within": d})),
)
absent_steps = st.builds(lambda step, wait: {"absent": step, "wait": wait}, plain_steps, durations)


def _steps(first: Any, middle: list[Any], last: Any) -> list[Any]:
    return [first, *middle, last]


sequence_leaves = st.builds(
    lambda steps, by, window: {"sequence": steps, **by, **window},
    st.builds(
        _steps,
        plain_steps,
        st.lists(later_steps, max_size=2),
        st.one_of(later_steps, absent_steps),
    ),
    st.sampled_from([{}, {}, {"by": "k"}, {"by": "$context.k"}]),
    windows,
)

leaves = st.one_of(event_leaves, event_leaves, trait_leaves, sequence_leaves, sequence_leaves)


def trees(pool: list[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """Conditions over the leaves of a pool, so that an edit keeps their history."""
    members = st.sampled_from(pool)
    return st.recursive(
        members,
        lambda inner: st.one_of(
            inner.map(lambda c: {"not": c}),
            st.lists(inner, min_size=1, max_size=3).map(lambda cs: {"all": cs}),
            st.lists(inner, min_size=1, max_size=3).map(lambda cs: {"any": cs}),
        ),
        max_leaves=3,
    )


values = st.one_of(scalars, st.none(), instants, instants, st.just([1, "X", None]))
objects = st.one_of(values, values.map(lambda v: {"r": v}))
properties = st.fixed_dictionaries(
    {}, optional={"v": scalars, "d": instants, "k": small, "name": scalars}
)
contexts = st.one_of(st.none(), st.fixed_dictionaries({}, optional={"k": small}))

tracks = st.fixed_dictionaries(
    {
        "type": st.just("track"),
        "name": st.sampled_from(NAMES),
        "properties": properties,
        "context": contexts,
    }
)
pages = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["page", "screen"]),
        "name": st.sampled_from([None, "x"]),
        "properties": properties,
        "context": contexts,
    }
)
writes = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["identify", "identify", "group"]),
        "name": st.none(),
        "traits": st.fixed_dictionaries(
            {}, optional={"p": objects, "q": objects, "group": st.just({"p": 1})}
        ),
    }
)

happenings = st.one_of(tracks, tracks, tracks, pages, writes, writes)

lateness = st.one_of(st.just(0), st.just(0), st.integers(-3, 50))
"""How long before the record's T the event says it happened."""

arrivals = st.tuples(
    st.just("event"), st.integers(0, 1), happenings, lateness, st.sampled_from("abz"), st.booleans()
)
