"""The newest version of every segment, from `definitions.v1`."""

import msgspec

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
