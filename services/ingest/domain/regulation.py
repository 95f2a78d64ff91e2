"""Regulations: requests to suppress people or to erase them, as privacy officers write them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from schemas.records import SubjectType
from services.ingest.domain.suppression import without_nul

RegulationType = Literal[
    "SUPPRESS_ONLY",
    "UNSUPPRESS",
    "SUPPRESS_WITH_DELETE",
    "DELETE_ONLY",
    "SUPPRESS_WITH_DELETE_INTERNAL",
    "DELETE_INTERNAL",
    "DELETE_ARCHIVE_ONLY",
]
Status = Literal[
    "INITIALIZED",
    "RUNNING",
    "FINISHED",
    "PARTIAL_SUCCESS",
    "FAILED",
    "INVALID",
    "NOT_SUPPORTED",
]
Suppresses = Literal["begin", "end"]
Erases = Literal["person", "archive"]
"""The person everywhere, or only what was put aside unprocessed."""

MOST_SUBJECTS = 5000
LONGEST_ID = 500
"""No identifier is longer."""


@dataclass(frozen=True, slots=True)
class Effect:
    """What a type of regulation does."""

    suppression: Suppresses | None = None
    erases: Erases | None = None
    destinations: bool = False
    """Whether the destinations are told."""
    source_only: bool = False


EFFECTS: Mapping[RegulationType, Effect] = {
    "SUPPRESS_ONLY": Effect("begin"),
    "UNSUPPRESS": Effect("end"),
    "SUPPRESS_WITH_DELETE": Effect("begin", "person", destinations=True),
    "DELETE_ONLY": Effect(None, "person", destinations=True),
    "SUPPRESS_WITH_DELETE_INTERNAL": Effect("begin", "person"),
    "DELETE_INTERNAL": Effect(None, "person"),
    "DELETE_ARCHIVE_ONLY": Effect(None, "archive", source_only=True),
}


class RegulationRequest(BaseModel):
    """The body of a request; names are those of the API."""

    model_config = ConfigDict(frozen=True, extra="ignore", str_strip_whitespace=True)

    regulationType: RegulationType  # noqa: N815
    subjectType: SubjectType  # noqa: N815
    subjectIds: Annotated[  # noqa: N815
        tuple[
            Annotated[str, Field(min_length=1, max_length=LONGEST_ID), AfterValidator(without_nul)],
            ...,
        ],
        Field(min_length=1, max_length=MOST_SUBJECTS),
    ]

    @property
    def effect(self) -> Effect:
        return EFFECTS[self.regulationType]


def misplaced(request: RegulationRequest, source_id: str | None) -> tuple[str, str] | None:
    """The field that does not fit the level of the request, and why."""
    if source_id is not None:
        return None
    if request.effect.source_only:
        return "regulationType", f"{request.regulationType} is for one source only"
    if request.subjectType != "USER_ID":
        return "subjectType", "for the whole workspace only USER_ID can be regulated"
    return None
