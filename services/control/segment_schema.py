"""JSON Schema of the segment language, for editors; `parse_segment` alone decides what is right."""

from typing import Any

from schemas.predicates.operators import OPERATORS
from services.segmenter.domain.conditions.measures import (
    DISTINCT,
    DISTINCT_OPERATIONS,
    MEASURES,
    OPERATIONS,
)

Schema = dict[str, Any]

TEXT: Schema = {"type": "string", "minLength": 1}
COUNT: Schema = {"type": "integer", "minimum": 0}
DURATION: Schema = {
    "type": "string",
    "pattern": "^[0-9]+(ms|s|m|h|d|w)$",
    "description": "A whole number and its unit: 90s, 30m, 12h, 7d, 4w.",
}
INSTANT: Schema = {"type": "string", "description": "RFC 3339 with a zone, or a date."}


def ref(name: str) -> Schema:
    """A reference to one of the shapes below."""
    return {"$ref": f"#/$defs/{name}"}


def shape(properties: Schema, *required: str, description: str = "") -> Schema:
    """An object with these keys and no others."""
    said = {"description": description} if description else {}
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
        **said,
    }


COMPARISON: Schema = {
    "op": {
        "enum": sorted(OPERATORS),
        "description": "How to compare. What is not known matches `is_absent` alone.",
    },
    "value": {"description": "What to compare with; `exists` and `is_absent` take none."},
    "ignore_case": {"type": "boolean", "description": "Upper and lower case are the same."},
}
WINDOW: Schema = {
    "within": {**DURATION, "description": "Not longer ago than this, such as 7d."},
    "since": {**INSTANT, "description": "At this instant or after it."},
    "between": {
        "type": "array",
        "items": INSTANT,
        "minItems": 2,
        "maxItems": 2,
        "description": "From the first instant to before the second.",
    },
}
SAME: Schema = {**TEXT, "description": "A property that is the same in all of the steps."}
STEADY: Schema = {**DURATION, "description": "It has been so without a break for this long."}
CLAUSES: Schema = {"type": "array", "items": ref("clause")}
FILTER: Schema = {"event": TEXT, "where": CLAUSES}
ROWS: Schema = {"related": TEXT, "where": {"type": "array", "items": ref("column_clause")}}
MEMBERS: Schema = {"type": "array", "items": ref("condition"), "minItems": 1}


def measured(measure: str, over: Schema, subject: str, *, of: str, within: str) -> Schema:
    """A measure or `distinct` over events or rows, compared with a number."""
    operations = DISTINCT_OPERATIONS if measure == DISTINCT else OPERATIONS
    told = "number of different values" if measure == DISTINCT else f"{measure} of a number"
    return shape(
        {**over, measure: TEXT, "op": {"enum": sorted(operations)}, "value": {}},
        subject,
        measure,
        "op",
        "value",
        description=f"The {told} in the {of} {within} compares so.",
    )


CONDITIONS: tuple[Schema, ...] = (
    shape({"all": MEMBERS}, "all", description="Every one of these holds."),
    shape({"any": MEMBERS}, "any", description="At least one of these holds."),
    shape({"not": ref("condition")}, "not", description="This does not hold."),
    shape(
        {"trait": TEXT, **COMPARISON, "for_at_least": STEADY},
        "trait",
        "op",
        description="The current value of a trait compares so.",
    ),
    shape(
        {**FILTER, "count": ref("count"), **WINDOW},
        "event",
        description="The event happened so often within the window; at least once unless said.",
    ),
    *(
        measured(measure, {**FILTER, **WINDOW}, "event", of="events", within="within the window")
        for measure in (*MEASURES, DISTINCT)
    ),
    *(
        shape(
            {end: TEXT, "where": CLAUSES, "property": TEXT, **COMPARISON},
            end,
            "property",
            "op",
            description=f"A property of the {told} such event ever compares so.",
        )
        for end, told in (("first", "earliest"), ("last", "latest"))
    ),
    shape(
        {"sequence": ref("sequence"), "by": SAME, **WINDOW},
        "sequence",
        description="These steps happened in this order.",
    ),
    shape(
        {**ROWS, "count": ref("count")},
        "related",
        description="So many related rows; at least one unless said.",
    ),
    *(
        measured(measure, ROWS, "related", of="related rows", within="that match")
        for measure in (*MEASURES, DISTINCT)
    ),
    shape({"in_segment": TEXT}, "in_segment", description="Member of that segment."),
    shape(
        {"percent": {"type": "number", "minimum": 0, "maximum": 100}, "salt": TEXT},
        "percent",
        "salt",
        description="A fixed share of all profiles; another salt draws another share.",
    ),
)

STEP = shape({**FILTER, "within": DURATION}, "event")
ABSENT = shape(
    {"absent": shape(FILTER, "event"), "wait": DURATION},
    "absent",
    "wait",
    description="As the last step: this did not happen for so long.",
)
SHAPES: Schema = {
    "condition": {"oneOf": list(CONDITIONS)},
    "clause": shape({"property": TEXT, **COMPARISON}, "property", "op"),
    "column_clause": shape({"column": TEXT, **COMPARISON}, "column", "op"),
    "count": {
        "type": "object",
        "properties": {"at_least": COUNT, "at_most": COUNT, "exactly": COUNT},
        "additionalProperties": False,
        "minProperties": 1,
        "maxProperties": 1,
    },
    "sequence": {
        "type": "array",
        "items": {"oneOf": [STEP, ABSENT]},
        "minItems": 2,
        "maxItems": 5,
    },
}


def segment_schema() -> Schema:
    """The document of kind `segment`."""
    document = shape(
        {
            "kind": {"const": "segment"},
            "id": {"type": "string", "pattern": "^[a-z0-9][a-z0-9-]{0,63}$"},
            "name": {"type": "string"},
            "description": {"type": "string"},
            "where": ref("condition"),
        },
        "kind",
        "id",
        "where",
    )
    return {**document, "$defs": SHAPES}
