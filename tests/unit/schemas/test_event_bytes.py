"""The hand-written bytes of an event are those of the codec."""

from typing import get_args

from hypothesis import given
from hypothesis import strategies as st

from schemas import codec
from schemas.event_bytes import encode_event
from schemas.records import Event, EventType

TEXT = st.text(st.characters(codec="utf-8"), max_size=80)
SOME = st.none() | TEXT
INSTANTS = st.integers(-62_135_596_800_000, 253_402_300_799_999)


@given(
    st.tuples(
        TEXT,
        TEXT,
        st.sampled_from(get_args(EventType)),
        SOME,
        SOME,
        SOME,
        INSTANTS,
        INSTANTS | st.integers(0, 20_000),
        st.binary(max_size=200) | st.integers(0, 20_000).map(bytes),
    )
)
def test_every_event_is_written_as_the_codec_writes_it(
    fields: tuple[str, str, EventType, str | None, str | None, str | None, int, int, bytes],
) -> None:
    source, message, kind, name, user, anonymous, timestamp, received, payload = fields
    record = Event(
        source_id=source,
        message_id=message,
        type=kind,
        name=name,
        user_id=user,
        anonymous_id=anonymous,
        timestamp=timestamp,
        received_at=received,
        payload=payload,
    )
    assert encode_event(*fields) == codec.encode(record)
