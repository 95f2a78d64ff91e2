"""Nothing that arrives breaks the decoder: it answers with an object or with a code (contract §5).

`AFFLUX_EXAMPLES` sets how many bodies are tried. What was once wrong stays as an example.
"""

import gzip
import json
import os
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.ingest.domain import decode
from services.ingest.domain.codes import Refused
from services.ingest.domain.decode import Body

EXAMPLES = int(os.environ.get("AFFLUX_EXAMPLES", "300"))
LIMIT = 20_000
CODES = {"invalid_json", "invalid_encoding", "payload_too_large", "unsupported_encoding"}
BODY = b'{"batch":[{"type":"track","event":"x","userId":"u","properties":{"a":[1,-0.5e9,null]}}]}'

encodings = st.sampled_from(
    ["", "identity", "gzip", "x-gzip", "deflate", "GZIP", "br", "gzip,gzip"]
)
PACKINGS: Mapping[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "gzip": gzip.compress,
    "deflate": zlib.compress,
}
packings = st.sampled_from(list(PACKINGS))
json_texts = st.recursive(
    st.one_of(
        st.sampled_from(
            ["null", "true", "NaN", "-Infinity", "1e999", "-0", "1" * 700, '"\\ud800"', '"\\u0000"']
        ),
        st.integers().map(str),
        st.floats().map(json.dumps),
        st.text().map(json.dumps),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(lambda items: f"[{','.join(items)}]"),
        st.lists(st.tuples(st.text(max_size=5).map(json.dumps), inner), max_size=4).map(
            lambda pairs: "{" + ",".join(f"{key}:{value}" for key, value in pairs) + "}"
        ),
    ),
    max_leaves=20,
)
objects = json_texts.map(lambda text: f'{{"batch":[{text}]}}'.encode())


@st.composite
def mutilated(draw: st.DrawFn) -> bytes:
    """A good body, packed perhaps, then cut, doubled or with bytes changed."""
    wire = bytearray(PACKINGS[draw(packings)](draw(st.one_of(objects, st.just(BODY)))))
    for _ in range(draw(st.integers(0, 4))):
        place = draw(st.integers(0, max(0, len(wire) - 1)))
        match draw(st.sampled_from(["cut", "change", "insert", "repeat"])):
            case "cut":
                del wire[place:]
            case "change":
                wire[place : place + 1] = draw(st.binary(min_size=1, max_size=1))
            case "insert":
                wire[place:place] = draw(st.binary(max_size=8))
            case "repeat":
                wire += wire[place:]
    return bytes(wire)


def read(wire: bytes, encoding: str, step: int) -> dict[str, Any] | str:
    """What comes of a body that arrives in pieces: an object, or the code that says why not."""
    try:
        body = Body(encoding, LIMIT)
        for start in range(0, len(wire), step):
            body.feed(wire[start : start + step])
        return decode.parse(body.end())
    except Refused as refused:
        return refused.code


@given(st.one_of(mutilated(), st.binary(max_size=300)), encodings, st.integers(1, 5_000))
@settings(max_examples=EXAMPLES, deadline=None)
@example(b"", "gzip", 1)
@example(b"\x1f\x8b", "", 1)
@example(b'{"a":' * 100_000, "", 5_000)
@example(b'{"a":' + b"9" * 5_000 + b"}", "", 5_000)
@example(b'{"a":"\\ud800\\u0000"}', "", 7)
@example(gzip.compress(gzip.compress(BODY)), "gzip", 3)
def test_5_whatever_arrives_is_an_object_or_a_code(wire: bytes, encoding: str, step: int) -> None:
    result = read(wire, encoding, step)
    if isinstance(result, str):
        assert result in CODES
    else:
        assert b"\x00" not in msgspec.json.encode(result)


@given(mutilated(), encodings, st.integers(1, 50))
@settings(max_examples=EXAMPLES // 2, deadline=None)
def test_5_it_does_not_matter_in_which_pieces_it_arrives(
    wire: bytes, encoding: str, step: int
) -> None:
    assert read(wire, encoding, step) == read(wire, encoding, max(1, len(wire)))


@given(objects, packings)
@settings(max_examples=EXAMPLES // 2, deadline=None)
def test_5_what_is_read_is_what_python_reads(body: bytes, encoding: str) -> None:
    """But for what no UTF-8 JSON can hold."""
    result = read(PACKINGS[encoding](body), encoding, 999)
    assert isinstance(result, dict)
    written = json.loads(msgspec.json.encode(result))
    expected = json.loads(body, parse_constant=lambda _: None, parse_float=_finite)
    assert written == _storable(expected)


def _finite(digits: str) -> float | None:
    number = float(digits)
    return number if abs(number) != float("inf") else None


def _storable(value: Any) -> Any:
    match value:
        case str():
            pairs = value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
            return "".join("\ufffd" if "\ud800" <= c <= "\udfff" or c == "\0" else c for c in pairs)
        case dict():
            return {_storable(key): _storable(one) for key, one in value.items()}
        case list():
            return [_storable(one) for one in value]
        case _:
            return value
