"""A wrong setting ends the start with a sentence that does not quote it."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from services.runtime.settings import RuntimeSettings, read


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AFFLUX_WORKER", "3")
    monkeypatch.setenv("AFFLUX_STATE_DIR", "/tmp/x")
    settings = read(RuntimeSettings)
    assert (settings.worker, settings.state_dir) == (3, Path("/tmp/x"))


def test_every_wrong_setting_is_named_and_none_is_quoted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AFFLUX_WORKER", "minus-one")
    monkeypatch.setenv("AFFLUX_PARTITIONS", "0")
    monkeypatch.setenv("AFFLUX_LOG_LEVEL", "chatty")
    with pytest.raises(SystemExit) as ended:
        read(RuntimeSettings)
    assert ended.value.code == 2
    said = capsys.readouterr().err
    lines = [line.partition(":")[0] for line in said.splitlines()]
    assert lines == ["AFFLUX_WORKER", "AFFLUX_PARTITIONS", "AFFLUX_LOG_LEVEL"]
    assert "minus-one" not in said


def test_the_database_password_is_not_shown() -> None:
    settings = RuntimeSettings(postgres_dsn=SecretStr("postgresql://me:pa55@host/db"))
    assert "pa55" not in repr(settings)
