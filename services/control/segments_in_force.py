"""The newest version of every segment, from `definitions.v1`."""

from collections.abc import Mapping

import msgspec

from schemas.problems import nearest
from services.control.changes import NoSuchSegment
from services.control.definitions_log import read_definitions
from services.segmenter.domain.segment import Segment, parse_segment


def newest_segments(bootstrap: str) -> dict[str, Segment]:
    """By id, archived ones included.

    Raises:
        Undecodable: the log holds something that a newer version wrote.
        KafkaException: the broker went away.
    """
    return {
        name: parse_segment(msgspec.json.decode(each.body), version=each.version, state=each.state)
        for (kind, name), each in read_definitions(bootstrap).items()
        if kind == "segment"
    }


def segment_named(segment_id: str, newest: Mapping[str, Segment]) -> Segment:
    """The one with this id.

    Raises:
        NoSuchSegment: there is none; the message names one that was probably meant.
    """
    if segment_id not in newest:
        meant = nearest(segment_id, newest)
        hint = f', did you mean "{meant}"?' if meant else ""
        raise NoSuchSegment(f'there is no segment "{segment_id}"{hint}')
    return newest[segment_id]
