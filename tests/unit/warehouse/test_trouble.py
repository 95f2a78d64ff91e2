"""What the refusals of a customer's database mean (warehouse-cdc §4.7)."""

import asyncpg
import pytest

from services.runtime.stage import Blocked
from services.warehouse.postgres import trouble
from services.warehouse.postgres.trouble import AWAY, LONGEST_WAIT_S, Trouble

REFUSALS: dict[str, tuple[type[BaseException], str | None]] = {
    "55006 slot in use": (asyncpg.ObjectInUseError, None),
    "42501 privilege": (asyncpg.InsufficientPrivilegeError, "privilege_missing"),
    "28P01 password": (asyncpg.InvalidPasswordError, "access_denied"),
    "53300 connections": (asyncpg.TooManyConnectionsError, None),
    "57P01 shut down": (asyncpg.AdminShutdownError, None),
    "57P02 crashed": (asyncpg.CrashShutdownError, None),
    "57P03 starting": (asyncpg.CannotConnectNowError, None),
    "network": (ConnectionResetError, None),
    "slow": (TimeoutError, None),
}
BOTH = pytest.mark.parametrize(("refusal", "blocks"), REFUSALS.values(), ids=REFUSALS)


@BOTH
def test_s4_7_what_refuses_is_tried_again_ever_more_slowly(
    refusal: type[BaseException], blocks: str | None
) -> None:
    met = Trouble()
    waits = [met.met(refusal("secret")) for _ in range(1200)]
    assert issubclass(refusal, AWAY)
    assert 0.75 <= waits[0] <= 1.25
    assert 1.5 <= waits[1] <= 2.5
    assert all(0.75 * LONGEST_WAIT_S <= wait <= 1.25 * LONGEST_WAIT_S for wait in waits[6:])
    assert len(set(waits)) == len(waits)
    assert "secret" not in str(met.reason)


@BOTH
def test_s4_7_what_only_a_person_can_mend_blocks_after_a_quarter_of_an_hour(
    refusal: type[BaseException], blocks: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert trouble.BLOCKED_AFTER_S == 15 * 60
    now = [1000.0]
    monkeypatch.setattr("services.warehouse.postgres.trouble.time.monotonic", lambda: now[0])
    met = Trouble()
    met.met(refusal())
    now[0] += trouble.BLOCKED_AFTER_S + 1
    if blocks is None:
        met.met(refusal())
        return
    with pytest.raises(Blocked) as blocked:
        met.met(refusal())
    assert blocked.value.reason == blocks


def test_s4_7_an_answer_ends_the_trouble() -> None:
    met = Trouble()
    for _ in range(9):
        met.met(ConnectionResetError())
    met.over()
    assert met.reason is None
    assert met.met(ConnectionResetError()) <= 1.25
