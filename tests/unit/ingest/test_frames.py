"""Frames: what was written whole is read, in order, whatever was torn off behind it."""

from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.frames import OVERHEAD, frame, frames, written_at

BODIES = st.lists(st.binary(max_size=50), max_size=8)


@given(BODIES, st.integers(0, 2**40))
def test_12_frames_are_read_as_they_were_written(bodies: list[bytes], at: int) -> None:
    data = b"".join(frame(body, at) for body in bodies)
    found = list(frames(data))
    assert [one.body for one in found] == bodies
    assert {one.at for one in found} <= {at}
    assert (found[-1].end if found else 0) == len(data)
    assert all(written_at(data[one.end - len(one.body) - OVERHEAD :]) == at for one in found)


@given(BODIES, st.data())
def test_12_a_torn_tail_costs_only_the_frame_it_tore(
    bodies: list[bytes], data: st.DataObject
) -> None:
    written = [frame(body, 1) for body in bodies]
    whole = b"".join(written)
    kept = data.draw(st.integers(0, len(whole)))
    torn = whole[:kept] + data.draw(st.binary(max_size=30))
    ends = [sum(map(len, written[: number + 1])) for number in range(len(written))]
    survivors = [body for body, end in zip(bodies, ends, strict=True) if end <= kept]
    assert [one.body for one in frames(torn)][: len(survivors)] == survivors


@given(st.binary(min_size=1, max_size=50), st.data())
def test_12_a_changed_byte_is_noticed(body: bytes, data: st.DataObject) -> None:
    written = bytearray(frame(body, 7))
    place = data.draw(st.integers(0, len(written) - 1))
    written[place] ^= data.draw(st.integers(1, 255))
    assert list(frames(bytes(written))) == []


def test_12_a_tail_of_zeros_is_no_frame() -> None:
    assert [one.body for one in frames(frame(b"a", 1) + bytes(100))] == [b"a"]
