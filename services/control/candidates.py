"""The segments to estimate: those of a file, or one that is in force."""

from collections.abc import Mapping
from pathlib import Path

from schemas.problems import Invalid
from services.control.apply import Refused
from services.control.documents import Document, Fault, read_file
from services.control.segments_in_force import segment_named
from services.segmenter.domain.segment import Segment, cycles, parse_segment
from services.segmenter.domain.sql.condition import Conditions


def candidates(named: str, newest: Mapping[str, Segment]) -> list[Segment]:
    """The segments of the file, or the one with this id.

    Raises:
        Refused: something in the file is wrong.
        NoSuchSegment: there is neither a file nor a segment of this name.
    """
    path = Path(named)
    if path.is_file():
        return _of_file(path)
    return [segment_named(named, newest)]


def conditions(wanted: list[Segment], newest: Mapping[str, Segment]) -> Conditions:
    """What `in_segment` refers to: what is in force, and what is to be estimated before that."""
    known = dict(newest) | {each.id: each for each in wanted}
    circling = {name for circle in cycles(known.values()) for name in circle}
    return {name: each.condition for name, each in known.items() if name not in circling}


def _of_file(path: Path) -> list[Segment]:
    read = read_file(path)
    faults = list(read.faults)
    found = []
    for document in read.documents:
        if document.kind == "segment":
            parsed = _parsed(document)
            if isinstance(parsed, Segment):
                found.append(parsed)
            else:
                faults += parsed
    if not found and not faults:
        faults.append(Fault(str(path), 1, "", "", "no segment in here"))
    if faults:
        raise Refused(faults)
    return found


def _parsed(document: Document) -> Segment | list[Fault]:
    try:
        return parse_segment(document.body, version=1, state="live")
    except Invalid as invalid:
        return [document.fault(each.place, each.message) for each in invalid.problems]
