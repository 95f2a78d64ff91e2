"""JSON Schema of the segment language, for editors; `parse_segment` alone decides what is right."""

from typing import Any

from services.segmenter.domain.conditions.aggregate.leaf import MEASURES, OPERATIONS
from services.segmenter.domain.operators import OPERATORS

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
    "op": {"enum": sorted(OPERATORS)},
    "value": {"description": "What to compare with; `exists` and `is_absent` take none."},
    "ignore_case": {"type": "boolean"},
}
WINDOW: Schema = {
    "within": DURATION,
    "since": INSTANT,
    "between": {"type": "array", "items": INSTANT, "minItems": 2, "maxItems": 2},
}
FILTER: Schema = {"event": TEXT, "where": {"type": "array", "items": ref("clause")}}
MEMBERS: Schema = {"type": "array", "items": ref("condition"), "minItems": 1}

CONDITIONS: tuple[Schema, ...] = (
    shape({"all": MEMBERS}, "all", description="Every one of these holds."),
    shape({"any": MEMBERS}, "any", description="At least one of these holds."),
    shape({"not": ref("condition")}, "not", description="This does not hold."),
    shape(
        {"trait": TEXT, **COMPARISON, "for_at_least": DURATION},
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
        shape(
            {**FILTER, measure: TEXT, "op": {"enum": sorted(OPERATIONS)}, "value": {}, **WINDOW},
            "event",
            measure,
            "op",
            "value",
            description=f"The {measure} of a number in the events within the window compares so.",
        )
        for measure in MEASURES
    ),
    shape(
        {"sequence": ref("sequence"), "by": TEXT, **WINDOW},
        "sequence",
        description="These steps happened in this order.",
    ),
    shape({"in_segment": TEXT}, "in_segment", description="Member of that segment."),
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
