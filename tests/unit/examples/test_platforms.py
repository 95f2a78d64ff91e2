"""The demo's second judge: whom the stubbed platforms hold, against the people that SQL names."""

import hashlib
import shutil
from contextlib import suppress
from pathlib import Path

from examples.shop import platforms
from examples.shop.recompute import Expected
from services.control.validation import check_workspace
from tests.stub.server import Stub
from tests.stub.world import Plain

EXPECTED = Expected(
    members=frozenset({("pro-plan", "ada"), ("big-spenders", "bob")}),
    person_of={},
    addresses_of={"ada": frozenset({"ada@shop.example"}), "bob": frozenset({"bob@shop.example"})},
)
DIGEST = hashlib.sha256(b"ada@shop.example").hexdigest()


def stub_with(meta: str, hubspot: str) -> Stub:
    stub = Stub(url="http://127.0.0.1:1234")
    for name, member in (("meta_custom_audiences", meta), ("hubspot", hubspot)):
        world = stub.world(name)
        world.change(world.audience("pro-plan"), [member], member=True)
    return stub


def test_each_platform_holds_whom_sql_names_as_it_knows_them() -> None:
    assert platforms.differences(stub_with(DIGEST, "ada@shop.example"), EXPECTED) == []


def test_who_is_missing_too_much_or_unhashed_is_a_difference() -> None:
    stub = stub_with("ada@shop.example", "bob@shop.example")
    with suppress(Plain):
        stub.world("meta_custom_audiences").hashed("ada@shop.example", "EMAIL")
    assert platforms.differences(stub, EXPECTED) == [
        "meta_custom_audiences: ada@shop.example is there, not in SQL",
        "meta_custom_audiences: ada@shop.example is in SQL, not there",
        "meta_custom_audiences: EMAIL came unhashed",
        "hubspot: bob@shop.example is there, not in SQL",
        "hubspot: ada@shop.example is in SQL, not there",
    ]


def test_the_platforms_are_valid_destinations_of_the_shop(tmp_path: Path) -> None:
    copy = tmp_path / "workspace"
    shutil.copytree(platforms.DOCUMENTS.with_name("workspace"), copy)
    (copy / "platforms.yaml").write_text(platforms.documents(stub_with(DIGEST, "x")))
    workspace = check_workspace(copy)
    assert workspace.faults == ()
    assert {"meta", "hubspot"} <= {document.id for document in workspace.documents}
