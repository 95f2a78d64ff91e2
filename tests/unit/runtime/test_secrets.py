"""Secrets are references; what they stand for is never shown."""

from pathlib import Path

import pytest

from services.runtime.secrets import UnresolvedSecret, is_reference, resolve

SECRET = "s3cr3t-value"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("env:NAME", True),
        ("env:_N1", True),
        ("file:/run/secrets/key", True),
        ("env:", False),
        ("env:1N", False),
        ("env:A B", False),
        ("file:", False),
        ("vault:key", False),
        (SECRET, False),
    ],
)
def test_references_have_a_form(text: str, expected: bool) -> None:
    assert is_reference(text) is expected


def test_variables_and_files_are_resolved(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AFFLUX_TEST_SECRET", SECRET)
    (tmp_path / "key").write_text(f"{SECRET}\n")
    for reference in ("env:AFFLUX_TEST_SECRET", f"file:{tmp_path / 'key'}", SECRET):
        resolved = resolve(reference)
        assert resolved.get_secret_value() == SECRET
        assert SECRET not in repr(resolved)


@pytest.mark.parametrize("reference", ["env:AFFLUX_TEST_UNSET", "file:/nonexistent/key", "file:/"])
def test_an_unresolved_reference_is_named(reference: str) -> None:
    with pytest.raises(UnresolvedSecret, match=reference):
        resolve(reference)


def test_an_empty_variable_is_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AFFLUX_TEST_SECRET", "")
    with pytest.raises(UnresolvedSecret, match="is not set"):
        resolve("env:AFFLUX_TEST_SECRET")


def test_a_file_that_is_no_text_is_named_and_not_quoted(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(SECRET.encode() + b"\xff\xfe")
    with pytest.raises(UnresolvedSecret) as raised:
        resolve(f"file:{tmp_path / 'key'}")
    assert SECRET not in str(raised.value)
