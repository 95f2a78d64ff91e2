"""`afflux estimate`: how many profiles a condition holds for right now."""

from collections.abc import Iterator
from contextlib import closing
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter
from rich.console import Console

from services.control.broker import broker
from services.control.candidates import candidates, conditions
from services.control.segments_in_force import newest_segments
from services.control.settings import ControlSettings
from services.runtime.settings import read
from services.segmenter.domain.estimate import Estimate
from services.segmenter.view import View


def estimate(
    what: str, /, *, as_json: Annotated[bool, Parameter(name="--json", negative="")] = False
) -> int:
    """Say how many profiles a segment holds for right now, before it is applied.

    A view of the log in AFFLUX_ESTIMATE_DIR is brought up to date first; the first time that takes
    as long as the log is. Above AFFLUX_ESTIMATE_PROFILES profiles it is a sample, and the error is
    stated.

    Parameters
    ----------
    what:
        A YAML file with segments, or the id of a segment that is in force.
    as_json:
        Print one JSON document.
    """
    settings = read(ControlSettings)
    broker(settings.kafka_bootstrap)
    newest = newest_segments(settings.kafka_bootstrap)
    wanted = candidates(what, newest)
    others = conditions(wanted, newest)
    with closing(View(settings.estimate_dir, most=settings.estimate_profiles)) as view:
        with Console(stderr=True).status("bringing the view up to date") as status:
            view.refresh(
                settings.kafka_bootstrap,
                lambda count: status.update(f"bringing the view up to date: {count:,} records"),
            )
        found = {each.id: view.estimate(each.condition, others) for each in wanted}
    if as_json:
        print(msgspec.json.encode(_document(found)).decode())
    else:
        print("\n".join(_lines(found)))
    return 0


def _lines(found: dict[str, Estimate]) -> Iterator[str]:
    for name, each in found.items():
        if each.share == 1:
            yield f"{name}: {each.members:,} of {each.profiles:,} profiles"
        else:
            yield (
                f"{name}: about {each.members:,} of about {each.profiles:,} profiles, with 95 %"
                f" between {each.low:,} and {each.high:,} (a sample of {each.share:.2%})"
            )


def _document(found: dict[str, Estimate]) -> list[dict[str, Any]]:
    return [{"segment": name, **msgspec.to_builtins(each)} for name, each in found.items()]
