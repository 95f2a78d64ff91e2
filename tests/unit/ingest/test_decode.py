"""From wire bytes to JSON values (contract §5)."""

import gzip
import json
import zlib
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain import decode
from services.ingest.domain.codes import Refused
from services.ingest.domain.decode import Body

BODY = b'{"event":"x"}'
RAW_DEFLATE = zlib.compressobj(wbits=-15)
RAW = RAW_DEFLATE.compress(BODY) + RAW_DEFLATE.flush()


def inflate(wire: bytes, encoding: str = "", *, limit: int = 1000, step: int = 7) -> bytes:
    body = Body(encoding, limit)
    for start in range(0, len(wire), step):
        body.feed(wire[start : start + step])
    return body.end()


@pytest.mark.parametrize("step", [1, 2, 5, 1000])
@pytest.mark.parametrize(
    ("encoding", "wire"),
    [
        ("", BODY),
        ("identity", BODY),
        ("gzip", gzip.compress(BODY)),
        ("GZIP", gzip.compress(BODY)),
        ("x-gzip", gzip.compress(BODY)),
        ("", gzip.compress(BODY)),
        ("identity", gzip.compress(BODY)),
        ("gzip", gzip.compress(BODY[:5]) + gzip.compress(BODY[5:])),
        ("deflate", zlib.compress(BODY)),
        ("deflate", RAW),
    ],
)
def test_5_every_encoding_is_inflated_once(encoding: str, wire: bytes, step: int) -> None:
    assert inflate(wire, encoding, step=step) == BODY


def test_5_a_body_is_inflated_once_only() -> None:
    twice = gzip.compress(gzip.compress(BODY))
    assert inflate(twice, "gzip") == gzip.compress(BODY)


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "compress"])
def test_5_other_encodings_are_unsupported(encoding: str) -> None:
    with pytest.raises(Refused, match="unsupported_encoding"):
        Body(encoding, 1000)


@pytest.mark.parametrize(
    ("encoding", "wire"),
    [
        ("gzip", gzip.compress(BODY)[:-1]),
        ("gzip", gzip.compress(BODY)[:8]),
        ("gzip", BODY),
        ("gzip", b"\x1f"),
        ("", gzip.compress(BODY)[:12]),
        ("deflate", RAW[:-1]),
        ("deflate", b"\xff\xff\xff"),
        ("gzip", gzip.compress(BODY) + b"junk"),
    ],
)
def test_5_a_broken_stream_is_an_invalid_encoding(encoding: str, wire: bytes) -> None:
    with pytest.raises(Refused, match="invalid_encoding"):
        inflate(wire, encoding)


@pytest.mark.parametrize("encoding", ["", "gzip", "deflate"])
def test_6_the_read_limit_is_inclusive_and_counts_inflated_bytes(encoding: str) -> None:
    def packed(size: int) -> bytes:
        body = b"x" * size
        match encoding:
            case "gzip":
                return gzip.compress(body)
            case "deflate":
                return zlib.compress(body)
            case _:
                return body

    assert len(inflate(packed(1000), encoding)) == 1000
    with pytest.raises(Refused, match="payload_too_large"):
        inflate(packed(1001), encoding)


def test_5_a_bomb_is_refused_before_it_is_inflated() -> None:
    bomb = gzip.compress(bytes(50_000_000))
    with pytest.raises(Refused, match="payload_too_large") as refused:
        inflate(bomb, "gzip", step=len(bomb))
    assert len(refused.value.raw or b"") == 1001


PARSED: list[tuple[bytes, Any]] = [
    (b'{"a":NaN,"b":Infinity,"c":-Infinity,"d":1e999,"e":-1e999}', dict.fromkeys("abcde")),
    (rb'{"a":"\ud800","b":"x\udc00\ud800y"}', {"a": "\ufffd", "b": "x\ufffd\ufffdy"}),
    (rb'{"a\u0000":"\u0000"}', {"a\ufffd": "\ufffd"}),
    (rb'{"a":"\\u0000"}', {"a": "\\u0000"}),
    (rb'{"a":"\ud83d\ude00"}', {"a": "😀"}),
    (b'\xef\xbb\xbf{"a":1}', {"a": 1}),
    (b'{"a":1,"b":2,"a":3}', {"a": 3, "b": 2}),
    (b' {"a" : [ ] } \r\n', {"a": []}),
]


@pytest.mark.parametrize(("body", "value"), PARSED)
def test_5_json_that_clients_really_send_is_understood(body: bytes, value: Any) -> None:
    assert decode.parse(body) == value


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"1",
        b'"x"',
        b"null",
        b"{",
        b'{"a":1,}',
        b"{'a':1}",
        b'{"a":01}',
        b'{"a":"\xff"}',
        b'{"a":"\xed\xa0\x80"}',
        b'{"a":"\n"}',
        b"\xff\xfe{\x00}\x00",
        b"data=%7B%7D",
        b'{"a":' * 100_000,
        b'{"a":' + b"[" * 50_000 + b"]" * 50_000 + b"}",
    ],
)
def test_5_anything_else_is_invalid_json(body: bytes) -> None:
    with pytest.raises(Refused, match="invalid_json"):
        decode.parse(body)


NUMBERS = [
    "1",
    "1.0",
    "-0",
    "-0.0",
    "9007199254740993",
    "18446744073709551616",
    "-9223372036854775809",
    "123456789012345678901234567890",
    "1" * 4299,
    "1" * 5000,
    "-" + "9" * 20_000,
]


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: number[:12])
def test_8_numbers_stay_what_they_are(number: str) -> None:
    value = decode.parse(f'{{"n":{number}}}'.encode())["n"]
    expected = "0" if number == "-0" else number
    assert msgspec.json.encode(value).decode() == expected


def test_a_whole_body_of_digits_is_read_in_no_time() -> None:
    """Quadratic conversion of 500 000 digits would take seconds; text takes none."""
    value = decode.parse(b'{"n":' + b"7" * 500_000 + b"}")["n"]
    assert isinstance(value, msgspec.Raw)


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=8)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(TEXT, JSON, max_size=4), st.booleans())
def test_both_roads_read_the_same(value: dict[str, Any], ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only).encode()
    assert repr(msgspec.json.decode(text)) == repr(decode._parse_exact(text)) == repr(value)


PIECES = rb'" \ u00 \ud800 { } [ ] : , 1 - e . 0 NaN null true "a":'.split()
FRAGMENTS = st.lists(
    st.sampled_from([*PIECES, b" ", b"\n", b"\x00", b"\xff", b"\xc3\xa9"]), max_size=12
).map(b"".join)


@given(FRAGMENTS | st.binary(max_size=40))
def test_both_roads_refuse_the_same(text: bytes) -> None:
    def read(road: Any) -> str:
        try:
            return repr(road(text))
        except (ValueError, RecursionError):
            return "refused"

    fast, exact = read(msgspec.json.decode), read(decode._parse_exact)
    assert fast in (exact, "refused") or b"\\u0000" in text


@given(st.binary(), st.sampled_from(["", "gzip", "deflate"]))
def test_5_no_bytes_lead_to_anything_but_a_code(wire: bytes, encoding: str) -> None:
    with suppress(Refused):
        decode.parse(inflate(wire, encoding))
