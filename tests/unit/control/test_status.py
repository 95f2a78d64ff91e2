"""What `afflux status` says of the segments."""

import io

import pytest
from rich.console import Console

from services.control.status import SegmentStatus, ServiceStatus, status_table


def shown(segment: SegmentStatus) -> str:
    answer = ServiceStatus(
        service="segmenter",
        worker=0,
        ready=True,
        definitions={"segment:big": 3, "source:big": 3},
        segments={"big": segment},
    )
    console = Console(file=io.StringIO(), width=200)
    console.print(status_table([answer]))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("in_force", "building", "read", "since", "said"),
    [
        (3, None, 1.0, None, "segment:big 3 "),
        (None, 3, 0.454, None, "segment:big 3 (building, 45% read)"),
        (2, 3, 0.0, None, "segment:big 3 (building, 0% read, 2 counts until then)"),
        (3, None, 1.0, 1792886400000, "segment:big 3 (built from 2026-10-25)"),
    ],
)
def test_s5_the_progress_of_a_segment_stands_beside_its_version(
    in_force: int | None, building: int | None, read: float, since: int | None, said: str
) -> None:
    segment = SegmentStatus(in_force=in_force, building=building, read=read, since=since)
    assert said in shown(segment)
    assert "source:big 3 " in shown(segment)
