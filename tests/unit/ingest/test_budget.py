"""Memory for the bodies of requests (contract §6)."""

from contextlib import suppress

import pytest

from services.ingest.budget import Budget
from services.ingest.sender import Unavailable


def test_6_what_a_request_took_is_free_at_its_end() -> None:
    budget = Budget(100)
    with budget.share() as first, budget.share() as second:
        first.grow_to(60)
        second.grow_to(40)
        assert budget.held == 100
        with pytest.raises(Unavailable, match="bodies"):
            second.grow_to(41)
        first.grow_to(10)
        second.grow_to(90)
    assert budget.held == 0


def test_6_a_request_that_was_refused_gives_back_what_it_had() -> None:
    budget = Budget(100)
    with suppress(Unavailable), budget.share() as share:
        share.grow_to(70)
        share.grow_to(101)
    assert budget.held == 0
