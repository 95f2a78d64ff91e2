"""The workspace kind `destination`: what a customer writes, checked with every problem at once."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StrictBool, ValidationError, field_validator
from pydantic_core import ErrorDetails

from schemas.predicates.filters import event_filter
from schemas.predicates.shape import Piece
from schemas.problems import Invalid, Problem, nearest
from services.activator.destinations import DESTINATIONS
from services.activator.domain.consent import ConsentRules
from services.activator.domain.conversion import PARTS, EventMapping
from services.activator.domain.platform import Audience, Destination, DestinationSettings

M = TypeVar("M", bound=BaseModel)

Id = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]


class Strict(BaseModel):
    """Unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Follows(Strict):
    """One segment that the destination follows."""

    segment: Id
    name: Annotated[str, Field(min_length=1)] | None = None
    """At the platform; the segment's id unless given."""
    options: dict[str, Any] = {}
    """What the platform is told when the audience is made there."""


class Profiles(Strict):
    """Which traits the destination is told of, by the name that it gets them under."""

    traits: dict[str, str] = Field(min_length=1)


class Consent(Strict):
    """How consent is read before anything is sent."""

    strict: StrictBool = True
    categories: tuple[str, ...] = ()
    opt_in: StrictBool = False


class Sends(Strict):
    """Which events are sent as conversions, under which name, and where their parts are."""

    when: Annotated[str, Field(min_length=1)]
    where: list[dict[str, Any]] = []
    """Comparisons that must all hold for the event, as in the condition of a segment."""
    send: Annotated[str, Field(min_length=1)]
    mapping: dict[str, str] = {}

    @field_validator("mapping")
    @classmethod
    def _known_parts(cls, mapping: dict[str, str]) -> dict[str, str]:
        for part in mapping:
            if part not in PARTS and not part.startswith("properties."):
                meant = nearest(part, PARTS)
                hint = f"did you mean `{meant}`?" if meant else f"known: {', '.join(PARTS)}"
                raise ValueError(f"`{part}` is no part of a conversion; {hint}")
        return mapping


class Document(Strict):
    """The document as written; `settings` are checked by the type's own model."""

    kind: Literal["destination"] = "destination"
    id: Id
    name: str | None = None
    description: str | None = None
    type: str
    settings: dict[str, Any] = {}
    audiences: tuple[Follows, ...] = ()
    profiles: Profiles | None = None
    events: tuple[Sends, ...] = ()
    consent: Consent = Consent()
    enabled: StrictBool = True


@dataclass(frozen=True, slots=True)
class DestinationDefinition:
    """One instance of a destination, as applied; secrets in it are references."""

    id: str
    destination: Destination[Any]
    settings: DestinationSettings
    audiences: Mapping[str, Audience]
    """By segment."""
    consent: ConsentRules
    events: tuple[EventMapping, ...]
    traits: Mapping[str, str] | None
    """Trait → name at the destination; None when it takes no profile updates."""
    enabled: bool


def parse_destination(document: Mapping[str, Any]) -> DestinationDefinition:
    """The definition in a workspace document.

    Raises:
        Invalid: with everything that is wrong about it.
    """
    problems: list[Problem] = []
    parsed = _checked(Document, document, problems)
    events = tuple(_event_mappings(parsed.events, problems)) if parsed is not None else ()
    destination = _destination(document, problems)
    settings = None
    if destination is not None:
        given = document.get("settings", {})
        given = given if isinstance(given, Mapping) else {}
        settings = _checked(destination.settings, given, problems, "settings")
    if parsed is not None and destination is not None:
        problems += _beyond(parsed, destination)
    if problems or parsed is None or destination is None or settings is None:
        raise Invalid(problems)
    return DestinationDefinition(
        id=parsed.id,
        destination=destination,
        settings=settings,
        audiences={each.segment: _audience(each) for each in parsed.audiences},
        consent=ConsentRules(
            strict=parsed.consent.strict,
            categories=parsed.consent.categories,
            opt_in=parsed.consent.opt_in,
        ),
        events=events,
        traits=parsed.profiles.traits if parsed.profiles else None,
        enabled=parsed.enabled,
    )


def _event_mappings(written: Sequence[Sends], problems: list[Problem]) -> Iterator[EventMapping]:
    for index, sends in enumerate(written):
        condition = {"event": sends.when, "where": sends.where}
        meant = event_filter(Piece(condition, f"events[{index}]", problems))
        if meant is not None:
            yield EventMapping(meant, sends.send, sends.mapping)


def _audience(follows: Follows) -> Audience:
    return Audience(
        id=follows.segment, name=follows.name or follows.segment, options=follows.options
    )


def _beyond(parsed: Document, destination: Destination[Any]) -> Iterator[Problem]:
    """What the document asks of a platform that has no such thing."""
    name = destination.name
    if parsed.audiences and not destination.members:
        yield Problem("audiences", f"`{name}` has no audiences")
    if parsed.profiles and not destination.profiles:
        yield Problem("profiles", f"`{name}` takes no profiles")
    if parsed.events and not destination.events:
        yield Problem("events", f"`{name}` takes no events")


def destination_secrets(document: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The places and values that must be references to secrets."""
    given = document.get("settings")
    if not isinstance(given, Mapping):
        return
    destination = DESTINATIONS.get(str(document.get("type")))
    fields = destination.settings.model_fields if destination else {}
    for name, field in fields.items():
        if "SecretStr" not in str(field.annotation) or name not in given:
            continue
        value = given[name]
        if isinstance(value, list):
            yield from ((f"settings.{name}[{index}]", part) for index, part in enumerate(value))
        else:
            yield f"settings.{name}", value


def _destination(document: Mapping[str, Any], problems: list[Problem]) -> Destination[Any] | None:
    name = document.get("type")
    if not isinstance(name, str):
        return None
    if name not in DESTINATIONS:
        meant = nearest(name, DESTINATIONS)
        hint = f"did you mean `{meant}`?" if meant else f"known: {', '.join(sorted(DESTINATIONS))}"
        problems.append(Problem("type", f"`{name}` is no destination; {hint}"))
    return DESTINATIONS.get(name)


def _checked(
    model: type[M], given: Mapping[str, Any], problems: list[Problem], place: str = ""
) -> M | None:
    try:
        return model.model_validate(given)
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False, include_context=False)
        problems.extend(_problem(detail, model, place) for detail in details)
        return None


def _problem(detail: ErrorDetails, model: type[BaseModel], above: str) -> Problem:
    place = _written(detail["loc"], above)
    match detail["type"]:
        case "missing":
            return Problem(place, "is missing")
        case "extra_forbidden":
            key = str(detail["loc"][-1])
            meant = nearest(key, _known(model, detail["loc"][:-1]))
            hint = f"; did you mean `{meant}`?" if meant else ""
            return Problem(place, f"unknown key `{key}`{hint}")
        case _:
            message = detail["msg"].removeprefix("Value error, ")
            return Problem(place, message.replace("Input should be", "must be", 1))


def _written(steps: tuple[str | int, ...], above: str) -> str:
    parts = [f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps]
    return (above + "".join(parts)).removeprefix(".")


def _known(model: type[BaseModel], steps: tuple[str | int, ...]) -> tuple[str, ...]:
    """The keys that are allowed where the steps lead."""
    inner: dict[str, type[BaseModel]] = {
        "audiences": Follows,
        "profiles": Profiles,
        "events": Sends,
        "consent": Consent,
    }
    there = inner.get(str(steps[0]), model) if steps else model
    return tuple(there.model_fields)
