"""The workspace kind `destination`: what a customer writes, checked with every problem at once."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StrictBool, ValidationError
from pydantic_core import ErrorDetails

from schemas.problems import Invalid, Problem, nearest
from services.activator.destinations import DESTINATIONS
from services.activator.domain.platform import Destination, DestinationSettings

M = TypeVar("M", bound=BaseModel)

Id = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]


class Strict(BaseModel):
    """Unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Audience(Strict):
    """One segment that the destination follows."""

    segment: Id
    name: str | None = None


class Profiles(Strict):
    """Which traits the destination is told of, by the name that it gets them under."""

    traits: dict[str, str] = Field(min_length=1)


class Consent(Strict):
    """How consent is read before anything is sent."""

    strict: StrictBool | None = None


class Document(Strict):
    """The document as written; `settings` are checked by the type's own model."""

    kind: Literal["destination"] = "destination"
    id: Id
    name: str | None = None
    description: str | None = None
    type: str
    settings: dict[str, Any] = {}
    audiences: tuple[Audience, ...] = ()
    profiles: Profiles | None = None
    consent: Consent = Consent()
    enabled: StrictBool = True


@dataclass(frozen=True, slots=True)
class DestinationDefinition:
    """One instance of a destination, as applied; secrets in it are references."""

    id: str
    destination: Destination[Any]
    settings: DestinationSettings
    audiences: frozenset[str]
    """Ids of the segments."""
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
    destination = _destination(document, problems)
    settings = None
    if destination is not None:
        given = document.get("settings", {})
        given = given if isinstance(given, Mapping) else {}
        settings = _checked(destination.settings, given, problems, "settings")
    if parsed is not None and parsed.profiles and destination and not destination.profiles:
        problems.append(Problem("profiles", f"`{destination.name}` takes audiences only"))
    if problems or parsed is None or destination is None or settings is None:
        raise Invalid(problems)
    return DestinationDefinition(
        id=parsed.id,
        destination=destination,
        settings=settings,
        audiences=frozenset(audience.segment for audience in parsed.audiences),
        traits=parsed.profiles.traits if parsed.profiles else None,
        enabled=parsed.enabled,
    )


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


_LATER = ("events", "options")
"""Part of the format; this version does not send them, and says so rather than drop them."""


def _problem(detail: ErrorDetails, model: type[BaseModel], above: str) -> Problem:
    place = _written(detail["loc"], above)
    match detail["type"]:
        case "missing":
            return Problem(place, "is missing")
        case "extra_forbidden":
            key = str(detail["loc"][-1])
            if key in _LATER:
                return Problem(place, "is not sent by this version")
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
        "audiences": Audience,
        "profiles": Profiles,
        "consent": Consent,
    }
    there = inner.get(str(steps[0]), model) if steps else model
    return tuple(there.model_fields)
