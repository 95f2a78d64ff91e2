"""Which versions were in force at a position of a partition, from what its log says."""

from collections.abc import Iterable, Mapping
from contextlib import suppress

import msgspec

from schemas.problems import Invalid
from schemas.records import BuildCalled, SegmentDefined
from services.segmenter.domain.register import Register
from services.segmenter.domain.segment import Segment, references, referred_first
from services.segmenter.partition import taken


def register_after(register: Register, records: Iterable[SegmentDefined | BuildCalled]) -> Register:
    """The register once these have been taken."""
    for record in records:
        with suppress(Invalid, msgspec.DecodeError):  # the segmenter puts it aside, too
            register = taken(register, record)
    return register


def standing_register(newest: Mapping[str, Segment]) -> Register:
    """What stands in for definitions that the log no longer holds: today's, in force."""
    register = Register()
    for name in referred_first({name: references(each) for name, each in newest.items()}):
        register = register.defined(newest[name])
        if register.wants_build:
            register = register.begun().ended()
    return register
