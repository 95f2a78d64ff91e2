"""The workspace kind `destination`: every problem at once, each with its place."""

from pathlib import Path
from typing import Any

import pytest

from schemas.problems import Invalid
from services.activator import destinations
from services.activator.destinations import DESTINATIONS
from services.activator.domain.destination import destination_secrets, parse_destination
from tests.unit.activator.builders import document


def problems(body: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(Invalid) as refused:
        parse_destination(body)
    return {problem.place: problem.message for problem in refused.value.problems}


def test_the_list_of_destinations_matches_the_folder() -> None:
    folder = Path(destinations.__file__).parent
    files = {file.stem for file in folder.glob("*.py")} - {"__init__"}
    assert files == set(DESTINATIONS)


def test_a_webhook_is_taken() -> None:
    found = parse_destination(document(profiles={"traits": {"plan": "tier"}}))
    assert (found.id, found.destination.name, found.enabled) == ("ads", "webhook", True)
    assert (set(found.audiences), found.traits) == ({"vip"}, {"plan": "tier"})


def test_an_id_of_digits_needs_no_quotes() -> None:
    settings = {"access_token": "env:TOKEN", "ad_account_id": 123456789}
    found = parse_destination(document(type="meta_custom_audiences", settings=settings))
    assert getattr(found.settings, "ad_account_id", None) == "123456789"
    refused = settings | {"ad_account_id": True}
    assert "settings.ad_account_id" in problems(
        document(type="meta_custom_audiences", settings=refused)
    )


def test_every_problem_is_named_at_once() -> None:
    found = problems(
        document(
            settings={"base_url": "nonsense", "ordred": True},
            audiences=[{"segmnt": "vip"}],
            enabld=True,
        )
    )
    assert found.keys() == {
        "settings.base_url",
        "settings.ordred",
        "audiences[0].segment",
        "audiences[0].segmnt",
        "enabld",
    }
    assert "did you mean `ordered`" in found["settings.ordred"]
    assert "did you mean `segment`" in found["audiences[0].segmnt"]
    assert "did you mean `enabled`" in found["enabld"]


@pytest.mark.parametrize(
    ("fields", "place", "part"),
    [
        ({"type": "webhok"}, "type", "did you mean `webhook`"),
        ({"type": "zzz"}, "type", "known: braze"),
        ({"settings": {"secret": None}}, "settings", "give `secret`"),
        ({"settings": {"secrets": ["env:A"]}}, "settings", "give `secret`"),
        ({"settings": {"base_url": "http://example.com"}}, "settings", "must be https"),
        ({"settings": {"base_url": "https://u:p@example.com"}}, "settings", "no credentials"),
        ({"settings": {"allow_private": "yes"}}, "settings.allow_private", "boolean"),
        ({"events": [{"when": "A", "send": "B", "maping": {}}]}, "events[0].maping", "`mapping`"),
        (
            {"events": [{"when": "A", "send": "B", "mapping": {"valu": "x"}}]},
            "events[0].mapping",
            "`value`",
        ),
        (
            {"events": [{"when": "A", "send": "B", "where": [{"property": "p", "op": "equls"}]}]},
            "events[0].where[0].op",
            '"equals"',
        ),
        (
            {"events": [{"when": "A", "send": "B", "where": [{"propery": "p", "op": "exists"}]}]},
            "events[0].where[0].propery",
            '"property"',
        ),
        ({"enabled": "off"}, "enabled", "boolean"),
        ({"audiences": [{"segment": "No Id"}]}, "audiences[0].segment", "pattern"),
    ],
)
def test_what_is_wrong_is_said_at_its_place(fields: dict[str, Any], place: str, part: str) -> None:
    assert part in problems(document(**fields))[place]


def test_ruling_24_allow_private_permits_plain_http() -> None:
    settings = {"base_url": "http://127.0.0.1:9009/ads", "allow_private": True}
    assert parse_destination(document(settings=settings)).settings.allow_private


def test_secrets_are_found_and_never_shown() -> None:
    body = document(settings={"secret": None, "secrets": ["env:NEW", "whsec_literal"]})
    del body["settings"]["secret"]
    assert list(destination_secrets(body)) == [
        ("settings.secrets[0]", "env:NEW"),
        ("settings.secrets[1]", "whsec_literal"),
    ]
    assert "whsec_literal" not in repr(parse_destination(body))
