"""Words that people bring from elsewhere for what the segment language calls otherwise."""

from collections.abc import Collection, Mapping

from schemas.problems import nearest

MEANT: Mapping[str, str] = {
    **dict.fromkeys(("=", "==", "eq", "is"), "equals"),
    **dict.fromkeys(("!=", "<>", "ne", "neq", "is_not"), "not_equals"),
    **dict.fromkeys(("in", "one_of", "is_one_of"), "any_of"),
    **dict.fromkeys(("not_in", "not_one_of"), "none_of"),
    **dict.fromkeys((">", "gt", "above", "more_than", "over"), "greater_than"),
    **dict.fromkeys((">=", "ge", "gte", "greater_or_equal", "minimum"), "at_least"),
    **dict.fromkeys(("greater_than_or_equal", "greater_than_or_equals"), "at_least"),
    **dict.fromkeys(("<", "lt", "below", "fewer_than", "under"), "less_than"),
    **dict.fromkeys(("<=", "le", "lte", "less_or_equal", "maximum"), "at_most"),
    **dict.fromkeys(("less_than_or_equal", "less_than_or_equals"), "at_most"),
    **dict.fromkeys(("has", "include", "includes"), "contains"),
    **dict.fromkeys(("does_not_contain", "exclude", "excludes"), "not_contains"),
    **dict.fromkeys(("begins", "begins_with", "prefix"), "starts_with"),
    "suffix": "ends_with",
    **dict.fromkeys(("glob", "like", "pattern", "regex", "wildcard"), "matches"),
    **dict.fromkeys(("has_value", "is_known", "is_present", "is_set", "present"), "exists"),
    **dict.fromkeys(("is_not_null", "not_null"), "exists"),
    **dict.fromkeys(("does_not_exist", "is_missing", "is_unknown", "missing"), "is_absent"),
    **dict.fromkeys(("is_empty", "is_not_set", "is_null", "null"), "is_absent"),
    **dict.fromkeys(("not_exists", "not_set", "unset"), "is_absent"),
    **dict.fromkeys(("earlier_than", "until"), "before"),
    **dict.fromkeys(("later_than",), "after"),
    **dict.fromkeys(("last", "within", "within_last"), "in_last"),
    **dict.fromkeys(("next", "within_next"), "in_next"),
    **dict.fromkeys(("longer_ago", "more_than_ago", "older_than"), "over_ago"),
    **dict.fromkeys(("and", "every"), "all"),
    **dict.fromkeys(("or", "some"), "any"),
    **dict.fromkeys(("did", "performed", "track"), "event"),
    **dict.fromkeys(("attribute", "field", "profile", "user"), "trait"),
    **dict.fromkeys(("audience", "segment"), "in_segment"),
    **dict.fromkeys(("funnel", "steps", "then"), "sequence"),
    **dict.fromkeys(("relation", "rows"), "related"),
    **dict.fromkeys(("sample", "share"), "percent"),
    **dict.fromkeys(("avg", "mean"), "average"),
    "min": "minimum",
    "max": "maximum",
    **dict.fromkeys(("count_distinct", "unique"), "distinct"),
    "operator": "op",
    "case_insensitive": "ignore_case",
}
"""In small letters, with `_` between words. What merely looks alike often means the opposite."""


def unknown_word(what: str, word: str, known: Collection[str]) -> str:
    """The sentence that refuses a word: what was probably meant, else what there is."""
    sentence = f'unknown {what} "{word}"'
    meant = probably(word, known)
    if meant is not None:
        return f'{sentence}, did you mean "{meant}"?'
    return f"{sentence}; known here: {', '.join(known)}"


def probably(word: str, known: Collection[str]) -> str | None:
    """The known word that was probably meant."""
    plain = "_".join(word.lower().replace("-", " ").split())
    for candidate in (plain, MEANT.get(plain)):
        if candidate in known:
            return candidate
    return nearest(plain, known)
