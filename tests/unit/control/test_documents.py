"""A workspace folder: files, kinds, ids, and how a fault reads."""

from pathlib import Path

import pytest

from services.control.documents import MAX_BYTES, read_folder


def faults(root: Path) -> list[str]:
    return [str(fault).removeprefix(f"{root}/") for fault in read_folder(root).faults]


def write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def test_files_of_any_name_and_depth_are_read_and_hidden_ones_are_not(tmp_path: Path) -> None:
    write(tmp_path, "a.yaml", "kind: source\nid: a\n---\nkind: source\nid: b\n")
    write(tmp_path, "deep/er/c.yml", "kind: segment\nid: c\n")
    write(tmp_path, ".git/d.yaml", "nonsense")
    write(tmp_path, "README.md", "nonsense")
    folder = read_folder(tmp_path)
    assert [(d.kind, d.id) for d in folder.documents] == [
        ("source", "a"),
        ("source", "b"),
        ("segment", "c"),
    ]
    assert folder.complete
    assert folder.faults == ()


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("- a\n", "f.yaml:1: a document must be a mapping with `kind` and `id`"),
        (
            "id: a\n",
            "f.yaml:1: kind: is missing; it is one of source, model, identity, segment, "
            "destination",
        ),
        (
            "id: a\nkind: segmant\n",
            "f.yaml:2: kind: unknown kind `segmant`, did you mean `segment`?",
        ),
        ("id: a\nkind: [1]\n", "f.yaml:2: kind: unknown kind `[1]`"),
        ("kind: segment\n", "f.yaml:1: id: is missing from this segment"),
        *(
            (
                f"kind: segment\nid: {id}\n",
                f"f.yaml:2: id: `{id}` must be 1 to 64 of a-z, 0-9 and -, and not begin with -",
            )
            for id in ("A", "-a", "a_b", "a" * 65, "ä", "12")
            if id != "12"
        ),
        (
            "kind: segment\nid: 12\n",
            "f.yaml:2: id: `12` must be 1 to 64 of a-z, 0-9 and -, and not begin with -",
        ),
        (
            "kind: segment\nid: a\nname: x\nname: y\n",
            "f.yaml:4 segment a: the key `name` is already in this mapping, on line 3",
        ),
        (
            "kind: segment\nid: a\n b: c\n",
            "f.yaml:3: not YAML: mapping values are not allowed here",
        ),
    ],
)
def test_a_fault_names_file_line_document_and_place(tmp_path: Path, text: str, fault: str) -> None:
    write(tmp_path, "f.yaml", text)
    assert faults(tmp_path) == [fault]


def test_a_fault_in_a_document_that_was_given_up_is_not_blamed_on_another(tmp_path: Path) -> None:
    write(tmp_path, "f.yaml", "kind: segment\nid: a\n---\nx: 1\nx: 2\n y: 3\n")
    assert faults(tmp_path) == [
        "f.yaml:5: the key `x` is already in this mapping, on line 4",
        "f.yaml:6: not YAML: mapping values are not allowed here",
    ]


def test_files_that_cannot_be_read_are_faults(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"\xff\xfe")
    (tmp_path / "b.yaml").write_bytes(b"# " + b"x" * MAX_BYTES)
    assert faults(tmp_path) == [
        "a.yaml:1: not UTF-8 text",
        f"b.yaml:1: larger than {MAX_BYTES} bytes",
    ]


def test_an_empty_folder_is_a_fault(tmp_path: Path) -> None:
    assert [f.message for f in read_folder(tmp_path).faults] == ["no .yaml or .yml file in here"]
