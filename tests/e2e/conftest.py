"""What the stories start from: a directory, and a platform that plays the advertising receiver."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from examples.shop.receiver import Receiver
from tests.e2e.shop import SECRET


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with closing(Receiver(SECRET)) as listening:
        yield listening
