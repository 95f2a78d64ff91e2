"""`afflux explain`: why a profile is in a segment or not."""

import sys
from typing import Annotated

import msgspec
from cyclopts import Parameter

from services.control.broker import broker
from services.control.console import console
from services.control.explained import explanation_lines, explanation_tree
from services.control.explained_document import explanation_document
from services.control.finding import find_profile
from services.control.instants import past_instant
from services.control.segments_in_force import newest_segments
from services.control.settings import ControlSettings
from services.runtime.settings import read
from services.segmenter.explaining import Asked, explain_membership


def explain(
    profile: str,
    segment: str,
    /,
    *,
    at: str | None = None,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Explain why a profile is in a segment or not, and what would change that.

    Each piece of the condition with its truth, the events that decide it, when it changes by
    itself, and the smallest change that would let the profile in or out. The answer is compared
    with the running membership and with a recomputation by SQL: exit code 1 when they disagree.

    Parameters
    ----------
    profile:
        A profile id, an identifier as type:value, or its value alone.
    segment:
        Id of the segment.
    at:
        A past instant, such as 2026-11-25T08:00:00Z: the answer as it was known then.
    as_json:
        Print one JSON document.
    """
    settings = read(ControlSettings)
    broker(settings.kafka_bootstrap)
    named = find_profile(settings.postgres_dsn.get_secret_value(), profile)
    asked = Asked(named, segment, None if at is None else past_instant(at))
    newest = newest_segments(settings.kafka_bootstrap)
    answer = explain_membership(settings.kafka_bootstrap, asked, newest)
    if as_json:
        print(msgspec.json.encode(explanation_document(answer, named)).decode())
    else:
        console().print(explanation_tree(answer))
        for line in explanation_lines(answer, named):
            print(line)
    if answer.disagrees:
        print("the ways to this answer disagree", file=sys.stderr)
    return 1 if answer.disagrees else 0
