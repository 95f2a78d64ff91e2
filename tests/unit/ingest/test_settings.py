"""The settings of ingest, as people write them."""

import pytest

from services.ingest.settings import Settings
from services.runtime.settings import read


def test_limits_are_changed_by_profile_and_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AFFLUX_INGEST_LIMITS", '{"segment": {"event_bytes": 65536}}')
    monkeypatch.setenv("AFFLUX_INGEST_TRUSTED_PROXIES", '["10.0.0.0/8"]')
    limits = read(Settings).limits()
    assert (limits["segment"].event_bytes, limits["segment"].events) == (65_536, 2_500)
    assert limits["rudderstack"].event_bytes == 900 * 1024


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("LIMITS", '{"segment": {"size": 1}}', "`size` is no limit"),
        ("LIMITS", '{"jitsu": {}}', "'segment' or 'rudderstack'"),
        ("PORT", "90000", "less than or equal to 65535"),
    ],
)
def test_a_wrong_setting_ends_the_start_with_a_sentence(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    value: str,
    sentence: str,
) -> None:
    monkeypatch.setenv(f"AFFLUX_INGEST_{name}", value)
    with pytest.raises(SystemExit):
        read(Settings)
    assert sentence in capsys.readouterr().err
