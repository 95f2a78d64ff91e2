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
        ("INGEST_LIMITS", '{"segment": {"size": 1}}', "`size` is no limit"),
        ("INGEST_LIMITS", '{"jitsu": {}}', "'segment' or 'rudderstack'"),
        ("INGEST_PORT", "90000", "less than or equal to 65535"),
        ("INGEST_OUTAGE_STATUS", "500", "should be 503 or 429"),
        ("ADMIN_TOKEN", "short", "at least 16"),
        ("ADMIN_TOKEN", "long enough to be a token", "set AFFLUX_SUPPRESSION_SECRET, too"),
    ],
)
def test_a_wrong_setting_ends_the_start_with_a_sentence(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    value: str,
    sentence: str,
) -> None:
    monkeypatch.setenv(f"AFFLUX_{name}", value)
    with pytest.raises(SystemExit):
        read(Settings)
    assert sentence in capsys.readouterr().err


def test_12_the_status_of_an_outage_is_chosen_in_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert read(Settings).ingest_outage_status == 503
    monkeypatch.setenv("AFFLUX_INGEST_OUTAGE_STATUS", "429")
    assert read(Settings).ingest_outage_status == 429


def test_every_plain_setting_can_be_said_as_text(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = {
        name: field.default
        for name, field in Settings.model_fields.items()
        if isinstance(field.default, str | int) and not isinstance(field.default, bool)
    }
    for name, value in plain.items():
        monkeypatch.setenv(f"AFFLUX_{name.upper()}", str(value))
    found = read(Settings)
    assert {name: getattr(found, name) for name in plain} == plain
    assert len(plain) > 15


def test_12_idle_connections_outlive_those_of_load_balancers() -> None:
    """The longest default among them is 600 s; one that closes first never meets a closed one."""
    assert read(Settings).ingest_idle_s > 600


def test_an_empty_token_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `docker compose` passes on what is not set."""
    monkeypatch.setenv("AFFLUX_ADMIN_TOKEN", "")
    assert read(Settings).admin_token is None
