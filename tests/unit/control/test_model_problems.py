"""Pydantic's complaints as problems with dotted places."""

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, field_validator

from services.control.model_problems import check_model


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Wheel(Strict):
    size: int
    maker: str | None = None


class Bell(Strict):
    type: Literal["bell"]
    sound: str


class Lamp(Strict):
    type: Literal["lamp"]
    brightness: int


class Bicycle(Strict):
    name: str
    wheels: list[Wheel] = []
    extra: Annotated[Bell | Lamp, Field(discriminator="type")] | None = None
    owners: dict[str, Wheel] = {}

    @field_validator("name")
    @classmethod
    def _named(cls, name: str) -> str:
        if name == "car":
            raise ValueError("a car is no bicycle")
        return name


@pytest.mark.parametrize(
    ("body", "place", "message"),
    [
        ({}, "name", "is missing"),
        ({"name": 1}, "name", "must be a valid string"),
        ({"name": "car"}, "name", "a car is no bicycle"),
        ({"name": "a", "wheel": []}, "wheel", "unknown key `wheel`, did you mean `wheels`?"),
        ({"name": "a", "zzz": 1}, "zzz", "unknown key `zzz`"),
        ({"name": "a", "wheels": [{"size": 1}, {}]}, "wheels[1].size", "is missing"),
        (
            {"name": "a", "wheels": [{"size": 1, "makre": "b"}]},
            "wheels[0].makre",
            "unknown key `makre`, did you mean `maker`?",
        ),
        (
            {"name": "a", "owners": {"x": {"size": 1, "siz": 2}}},
            "owners.x.siz",
            "unknown key `siz`, did you mean `size`?",
        ),
        ({"name": "a", "extra": {"type": "bell"}}, "extra.sound", "is missing"),
        (
            {"name": "a", "extra": {"type": "lamp", "brightness": 1, "bright": 2}},
            "extra.bright",
            "unknown key `bright`, did you mean `brightness`?",
        ),
    ],
)
def test_each_complaint_has_its_place(body: Any, place: str, message: str) -> None:
    problems = check_model(Bicycle, body)
    assert [(problem.place, problem.message) for problem in problems] == [(place, message)]


def test_all_complaints_come_at_once() -> None:
    problems = check_model(Bicycle, {"wheels": [{}, {"size": "x"}], "zzz": 1})
    assert [problem.place for problem in problems] == [
        "name",
        "wheels[0].size",
        "wheels[1].size",
        "zzz",
    ]


def test_a_good_document_has_no_problems() -> None:
    assert check_model(Bicycle, {"name": "a"}) == ()
