"""The position in the state: read back as written, refused when another version wrote it."""

import pytest

from services.runtime.position import (
    FORMAT,
    Input,
    Local,
    NewerState,
    OlderState,
    Position,
    decode_local,
    decode_position,
    encode,
)


def test_position_is_read_back_as_written() -> None:
    position = Position(FORMAT, {"t": Input("id", 6, start=2, next=9, taken=5)})
    assert decode_position(encode(position)) == position
    assert decode_local(encode(Local(7, 1.5))) == Local(7, 1.5)


def test_empty_state_is_at_no_position() -> None:
    assert decode_position(None) == Position(FORMAT, {})
    assert decode_local(None).changelog_next == 0


def test_r10_a_state_of_a_newer_version_is_refused() -> None:
    with pytest.raises(NewerState, match="start the newer version"):
        decode_position(encode(Position(FORMAT + 1, {})))


def test_r10_a_state_of_an_older_version_is_refused() -> None:
    with pytest.raises(OlderState, match="delete the stage's changelog, consumer group and state"):
        decode_position(encode(Position(FORMAT - 1, {})))
