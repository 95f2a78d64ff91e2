"""Every record version: its example message, what is no message, and what may follow it."""

import json
import struct
from importlib import resources
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from schemas import records
from schemas.codec import SCHEMAS, Undecodable, decode, decode_as, encode, schema_json
from schemas.compatibility import breaking, misfits
from schemas.topics import TOPICS, activations

IDS = sorted(SCHEMAS)


def load_example(schema_id: int) -> dict[str, Any]:
    """`record`: its fields, bytes as base64; `framed`: the message as hex."""
    path = resources.files("schemas.avro").joinpath(f"{SCHEMAS[schema_id][1]}.example.json")
    loaded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return loaded


def framed(schema_id: int) -> bytes:
    return bytes.fromhex(load_example(schema_id)["framed"])


@pytest.mark.parametrize("schema_id", IDS)
def test_example_is_decoded_from_its_bytes(schema_id: int) -> None:
    kind, _ = SCHEMAS[schema_id]
    record = decode(framed(schema_id))
    assert type(record) is kind
    assert record == msgspec.convert(load_example(schema_id)["record"], kind)


@pytest.mark.parametrize("schema_id", IDS)
def test_example_is_encoded_to_its_bytes(schema_id: int) -> None:
    """Of the newest version; older ones are only read."""
    kind, _ = SCHEMAS[schema_id]
    if schema_id == max(i for i, (k, _) in SCHEMAS.items() if k is kind):
        assert encode(decode(framed(schema_id))) == framed(schema_id)


@pytest.mark.parametrize("schema_id", IDS)
def test_message_cut_anywhere_is_undecodable(schema_id: int) -> None:
    whole = framed(schema_id)
    for length in range(len(whole)):
        with pytest.raises(Undecodable):
            decode(whole[:length])


@pytest.mark.parametrize("schema_id", IDS)
def test_trailing_bytes_are_undecodable(schema_id: int) -> None:
    with pytest.raises(Undecodable, match="bytes left over"):
        decode(framed(schema_id) + b"\x00")


@pytest.mark.parametrize(
    "data",
    [
        None,
        b"",
        b"\x01" + framed(5)[1:],
        struct.pack(">bI", 0, 0) + b"\x06",
        struct.pack(">bI", 0, max(IDS) + 1) + b"\x06",
    ],
)
def test_unknown_frame_is_undecodable(data: bytes | None) -> None:
    with pytest.raises(Undecodable, match="schema frame"):
        decode(data)


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_decoded_or_undecodable(data: bytes) -> None:
    try_decode(data)


@given(st.sampled_from(IDS), st.binary(max_size=200))
@example(1, b"\xff" * 10)
@example(2, b"\xff" * 100)
def test_arbitrary_bodies_are_decoded_or_undecodable(schema_id: int, body: bytes) -> None:
    try_decode(struct.pack(">bI", 0, schema_id) + body)


@given(st.sampled_from(IDS), st.data())
def test_damaged_examples_are_decoded_or_undecodable(schema_id: int, data: st.DataObject) -> None:
    damaged = bytearray(framed(schema_id))
    damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try_decode(bytes(damaged))


def try_decode(data: bytes) -> None:
    """Anything but a record or `Undecodable` fails the test."""
    try:
        record = decode(data)
    except Undecodable:
        return
    assert isinstance(record, msgspec.Struct)


def test_what_was_in_the_bytes_is_not_in_the_error() -> None:
    secret = b"jane@example.com"
    with pytest.raises(Undecodable) as raised:
        decode(struct.pack(">bI", 0, 1) + bytes([len(secret) * 2]) + secret)
    assert "jane" not in str(raised.value)


def test_another_record_than_expected_is_undecodable() -> None:
    with pytest.raises(Undecodable, match="a Tick where a Event is due"):
        decode_as(records.Event, encode(records.Tick(partition=1)))


def test_no_id_is_given_twice_and_every_record_has_one() -> None:
    named = {kind.__name__ for kind, _ in SCHEMAS.values()}
    on_topics = {name for topic in (*TOPICS, activations("x")) for name in topic.records}
    assert named == on_topics
    assert len({name for _, name in SCHEMAS.values()}) == len(SCHEMAS)


def test_every_schema_file_has_an_id() -> None:
    files = {
        f"{folder.name}/{file.name.removesuffix('.avsc')}"
        for folder in resources.files("schemas.avro").iterdir()
        if folder.is_dir()
        for file in folder.iterdir()
        if file.name.endswith(".avsc")
    }
    assert files == {name for _, name in SCHEMAS.values()}


@pytest.mark.parametrize("kind", dict.fromkeys(kind for kind, _ in SCHEMAS.values()))
def test_versions_follow_one_another_without_a_break(kind: type[msgspec.Struct]) -> None:
    versions = [schema_json(i) for i in IDS if SCHEMAS[i][0] is kind]
    for previous, following in pairwise(versions):
        assert list(breaking(previous, following)) == []
    assert list(misfits(versions[-1], kind)) == []
