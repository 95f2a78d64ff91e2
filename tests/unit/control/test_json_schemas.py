"""The schemas for editors: up to date, and of one mind with the services on the examples."""

import copy
from random import Random
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from services.control.documents import Document, read_folder
from services.control.json_schemas import FOLDER, json_schemas, path_of, rendered
from tests.unit.segmenter import histories

SHOP = FOLDER.parents[1] / "examples" / "shop" / "workspace"


@pytest.mark.parametrize("kind", sorted(json_schemas()))
def test_the_committed_schema_is_up_to_date(kind: str) -> None:
    """If it is not: python -m services.control.json_schemas."""
    schema = json_schemas()[kind]
    assert path_of(kind).read_text(encoding="utf-8") == rendered(schema)
    Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("document", read_folder(SHOP).documents, ids=lambda d: f"{d.kind}-{d.id}")
def test_the_shop_fits_its_schemas(document: Document) -> None:
    validator = Draft202012Validator(json_schemas()[document.kind])
    assert [error.message for error in validator.iter_errors(document.body)] == []


@pytest.mark.parametrize("document", read_folder(SHOP).documents, ids=lambda d: f"{d.kind}-{d.id}")
def test_an_unknown_key_is_marked(document: Document) -> None:
    body: dict[str, Any] = copy.deepcopy(dict(document.body))
    body["surprise"] = 1
    assert not Draft202012Validator(json_schemas()[document.kind]).is_valid(body)


def test_each_file_of_the_shop_names_its_schema() -> None:
    for path in SHOP.glob("*.yaml"):
        first = path.read_text(encoding="utf-8").splitlines()[0]
        name = first.removeprefix("# yaml-language-server: $schema=")
        assert (path.parent / name).resolve().parent == FOLDER
        assert (path.parent / name).resolve().exists()


def test_every_condition_that_can_be_drawn_fits_the_schema_of_segments() -> None:
    validator = Draft202012Validator(json_schemas()["segment"])
    for seed in range(200):
        document = {"kind": "segment", "id": "a", "where": histories.leaf(Random(seed))}
        assert validator.is_valid(document), document
