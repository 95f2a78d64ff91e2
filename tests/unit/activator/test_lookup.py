"""Audiences are looked up on every page (destinations.md, ruling 27), against the strict stub."""

from collections.abc import Mapping

import pytest

from services.activator.domain.answer import Answer
from services.activator.domain.lookup import Lookup
from services.activator.domain.outcomes import Response
from services.activator.domain.platform import Audience
from tests.stub.server import applied
from tests.stub.world import World, ok
from tests.unit.activator.building import AT, TOKEN
from tests.unit.activator.examples import an_instance
from tests.unit.activator.test_stub import call_of

BASE = "http://stub.test"
PAGED = (
    "google_data_manager",
    "klaviyo",
    "mailchimp",
    "meta_custom_audiences",
    "snapchat_audiences",
    "tiktok_audiences",
    "zendesk",
)
WANTED = Audience(id="vip", name="VIP", options={"field": "cdp_vip"})
AUDIENCES: Mapping[str, str] = {
    **{f"other-{number}": str(number) for number in range(4)},
    "VIP": "99",
    "another": "100",
}


def asked(name: str, audiences: Mapping[str, str]) -> tuple[str | None, int]:
    """What the look-up finds, and how many calls it takes."""
    world = World(name, audiences=dict(audiences), token=TOKEN.value)
    of = an_instance(name, {"base_url": BASE, "allow_private": True})
    calls = of.destination.audiences
    assert calls is not None
    lookup, count = Lookup(calls, WANTED), 0
    while True:
        response = applied(world, call_of(lookup.request(of.setup(TOKEN, {}, AT))))
        assert response.status == 200, response
        count += 1
        found = lookup.read(Answer(response))
        if found is not None or not lookup.goes_on:
            return found, count


@pytest.mark.parametrize("name", PAGED)
def test_ruling_27_an_audience_is_found_on_whichever_page_it_stands(name: str) -> None:
    audiences = dict(AUDIENCES)
    if name == "zendesk":
        audiences["cdp_vip"] = audiences.pop("VIP")
    wanted = "cdp_vip" if name == "zendesk" else "99"
    assert asked(name, audiences) == (wanted, 3)


@pytest.mark.parametrize("name", PAGED)
def test_ruling_27_the_last_page_ends_the_look_up(name: str) -> None:
    assert asked(name, {f"other-{number}": str(number) for number in range(4)}) == (None, 2)
    assert asked(name, {}) == (None, 1)


def test_a_platform_that_names_the_same_page_for_ever_is_not_asked_for_ever() -> None:
    of = an_instance("google_data_manager")
    calls = of.destination.audiences
    assert calls is not None
    lookup = Lookup(calls, WANTED)
    page: Response = ok({"userLists": [], "nextPageToken": "again"})
    assert lookup.read(Answer(page)) is None
    assert lookup.goes_on
    assert lookup.read(Answer(page)) is None
    assert not lookup.goes_on
