"""A whole folder: every error at once, in order, each at its file, line and place."""

from pathlib import Path

import pytest

from services.control.validation import NOT_A_REFERENCE, check_workspace

SHOP = Path(__file__).parents[3] / "examples" / "shop" / "workspace"


def faults(root: Path, *, allow_literal_secrets: bool = False) -> list[str]:
    found = check_workspace(root, allow_literal_secrets=allow_literal_secrets).faults
    return [str(fault).removeprefix(f"{root}/") for fault in found]


def of(root: Path, text: str) -> list[str]:
    (root / "f.yaml").write_text(text, encoding="utf-8")
    return [fault.removeprefix("f.yaml:") for fault in faults(root)]


SOURCE = "kind: source\nid: web\nwrite_keys: [env:KEY]\n"
IDENTITY = "kind: identity\nid: default\n"
SEGMENT = "kind: segment\nid: carts\n"
DESTINATION = """\
kind: destination
id: ads
type: webhook
settings:
  base_url: https://ads.example
  secret: env:SECRET
"""

FAULTS = [
    ("kind: source\nid: web\n", "1 source web: write_keys: is missing"),
    (
        "kind: source\nid: web\nwrite_keys: []\n",
        "3 source web: write_keys: must have at least 1 item",
    ),
    (
        f"{SOURCE}write_key: env:KEY\n",
        "4 source web: write_key: unknown key `write_key`, did you mean `write_keys`?",
    ),
    (
        f"{SOURCE}profile: segmant\n",
        "4 source web: profile: must be 'segment' or 'rudderstack'",
    ),
    (
        "kind: source\nid: web\ntype: oracle\n",
        "3 source web: type: is no type of source;"
        " the types are debezium, postgres, sql, delta, databricks, bigquery, snowflake",
    ),
    (
        "kind: model\nid: orders\nrelation: crm.orders\nrows: event\n"
        "identifiers: {user_id: customer}\n",
        "1 model orders: source: is missing",
    ),
    (
        f"{IDENTITY}identifiers:\n  - type: email\n    limit: 0\n",
        "5 identity default: identifiers[0].limit: must be greater than or equal to 1",
    ),
    (
        f"{IDENTITY}identifiers:\n  - type: email\n    normalize: email\n",
        "5 identity default: identifiers[0].normalize: unknown key `normalize`, "
        "did you mean `normalise`?",
    ),
    (SEGMENT, "1 segment carts: where: is missing"),
    (
        f"{SEGMENT}where: 1\n",
        "3 segment carts: where: must be an object with one kind of condition",
    ),
    (
        f"{SEGMENT}where:\n  all:\n    - trait: plan\n      op: equal\n      value: pro\n",
        '6 segment carts: where.all[0].op: unknown operator "equal", did you mean "equals"?',
    ),
    (
        f"{SEGMENT}where: {{trait: plan, op: exists}}\nwher: 1\n",
        '4 segment carts: wher: unknown key "wher", did you mean "where"?',
    ),
    (
        f"{SEGMENT}where:\n  in_segment: carts\n",
        "3 segment carts: where: refers to itself",
    ),
    (
        f"{SEGMENT}where:\n  in_segment: cart\n",
        "4 segment carts: where.in_segment: there is no segment `cart`, did you mean `carts`?",
    ),
    (
        DESTINATION.replace("webhook", "webhok"),
        "3 destination ads: type: `webhok` is no destination; did you mean `webhook`?",
    ),
    (
        f"{DESTINATION}audience: []\n",
        "7 destination ads: audience: unknown key `audience`; did you mean `audiences`?",
    ),
    (
        f"{DESTINATION}audiences:\n  - segment: vip\n",
        "8 destination ads: audiences[0].segment: there is no segment `vip`",
    ),
    (
        f"{DESTINATION}  ordred: true\n",
        "7 destination ads: settings.ordred: unknown key `ordred`; did you mean `ordered`?",
    ),
]


@pytest.mark.parametrize(("text", "fault"), FAULTS)
def test_each_fault_has_its_line_and_place(tmp_path: Path, text: str, fault: str) -> None:
    assert of(tmp_path, text) == [fault]


def test_s9_17_the_example_of_the_contract(tmp_path: Path) -> None:
    text = f"""\
{SEGMENT}where:
  all:
    - sequence:
        - event: Checkout Started
        - absent: {{event: Order Completed}}
          wait: "30 minutes"
"""
    assert of(tmp_path, text) == [
        '8 segment carts: where.all[0].sequence[1].wait: "30 minutes" is not a duration; write 30m'
    ]


def test_s9_19_a_word_is_the_text_that_is_written(tmp_path: Path) -> None:
    text = f"{SEGMENT}where: {{trait: newsletter, op: on, value: 2026-01-02}}\n"
    assert of(tmp_path, text) == []


def test_every_fault_of_every_file_comes_at_once_in_order(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text(f"{SEGMENT}name: [1]\nwhere: 1\n")
    (tmp_path / "a.yaml").write_text(f"{SEGMENT}where: 1\n---\nkind: source\nid: web\nx: 1\n")
    assert faults(tmp_path) == [
        "a.yaml:3 segment carts: where: must be an object with one kind of condition",
        "a.yaml:5 source web: write_keys: is missing",
        "a.yaml:7 source web: x: unknown key `x`",
        f"b.yaml:2 segment carts: id: another segment has this id, at {tmp_path}/a.yaml:1",
        "b.yaml:3 segment carts: name: must be a text",
        "b.yaml:4 segment carts: where: must be an object with one kind of condition",
    ]


def test_references_wait_until_every_file_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(f"{DESTINATION}audiences: [{{segment: carts}}]\n")
    (tmp_path / "b.yaml").write_text(f"{SEGMENT} where: 1\n")
    assert faults(tmp_path) == ["b.yaml:3: not YAML: mapping values are not allowed here"]


SECRET = "hunter2-hunter2"
SECRETS = [
    (SOURCE.replace("env:KEY", SECRET), "3 source web: write_keys[0]"),
    (SOURCE.replace("env:KEY", f"{{key: {SECRET}}}"), "3 source web: write_keys[0].key"),
    (DESTINATION.replace("env:SECRET", SECRET), "6 destination ads: settings.secret"),
    (
        DESTINATION.replace("secret: env:SECRET", f"secrets: [env:A, {SECRET}]"),
        "6 destination ads: settings.secrets[1]",
    ),
]


@pytest.mark.parametrize(("text", "place"), SECRETS)
def test_a_literal_secret_is_refused_and_never_printed(
    tmp_path: Path, text: str, place: str
) -> None:
    assert of(tmp_path, text) == [f"{place}: {NOT_A_REFERENCE}"]
    assert SECRET not in "".join(of(tmp_path, text))
    assert faults(tmp_path, allow_literal_secrets=True) == []


def test_a_wrong_document_with_a_literal_secret_does_not_print_it_either(tmp_path: Path) -> None:
    text = DESTINATION.replace("env:SECRET", f"{{a: {SECRET}}}") + "x: 1\n"
    assert SECRET not in "".join(of(tmp_path, text))
    assert len(of(tmp_path, text)) == 2


def test_a_name_and_a_description_fit_every_kind(tmp_path: Path) -> None:
    said = "name: A name\ndescription: What it is for.\n"
    segment = f"{SEGMENT}where: {{trait: plan, op: exists}}\n"
    documents = [kind + said for kind in (SOURCE, IDENTITY, segment, DESTINATION)]
    assert of(tmp_path, "---\n".join(documents)) == []


def test_without_an_identity_document_the_workspace_is_valid(tmp_path: Path) -> None:
    assert of(tmp_path, SOURCE) == []


def test_the_workspace_of_the_shop_is_valid() -> None:
    assert faults(SHOP) == []
