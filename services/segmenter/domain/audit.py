"""Whether what was decided up to a cut is what a recomputation says: the judgement, without IO.

The cut lies at a position of each partition's log. What the stream had decided then is what it had
decided for instants up to the cut's stream time; the decisions themselves may follow a little
later, because timers and edits are worked off in slices. So a difference is looked at again for a
while before it counts.
"""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Literal

from schemas.records import MembershipChanged
from services.segmenter.domain.catalogue import ENTRIES
from services.segmenter.domain.history import Pair, standing_at
from services.segmenter.domain.lives import Life

Verdict = Literal["equal", "different", "behind", "overflow"]
"""`behind`: nothing can be said, because an edit was still being brought to the profiles (and may
never have reached this one, if another followed), or a decision fell into the very millisecond of
the cut."""

_BY_DEFINITION = ("edit", "archive", "resume")


@dataclass(frozen=True, slots=True)
class Difference:
    """The stream and the recomputation disagree about one profile in one segment."""

    profile_id: str
    segment_id: str
    stream: bool
    recomputed: bool


@dataclass(slots=True)
class Checked:
    """What came out for one segment."""

    segment_id: str
    compared: int = 0
    """Profiles of which both sides say something."""
    members: int = 0
    """How many of them are members, by the recomputation."""
    behind: int = 0
    """Profiles that an edit had not reached yet, or that changed in the moment of the cut."""
    unknown: int = 0
    """Profiles for which the log is too short to say."""
    overflowed: int = 0
    """Profiles with more entries than are kept; their membership stands still."""
    differences: list[Difference] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What was not compared, and why."""


@dataclass(slots=True)
class Audit:
    """What came out altogether."""

    profiles: int = 0
    since: int | None = None
    """From when on the log is whole; None when it is from its beginning."""
    segments: dict[str, Checked] = field(default_factory=dict)

    @property
    def compared(self) -> int:
        """Memberships that were compared."""
        return sum(each.compared for each in self.segments.values()) + len(self.differences)

    @property
    def differences(self) -> list[Difference]:
        return [each for checked in self.segments.values() for each in checked.differences]

    def of(self, segment_id: str) -> Checked:
        """What came out for one segment, so far."""
        return self.segments.setdefault(segment_id, Checked(segment_id))

    def note(self, segment_id: str, sentence: str) -> None:
        """Say it once."""
        notes = self.of(segment_id).notes
        if sentence not in notes:
            notes.append(sentence)


@dataclass(frozen=True, slots=True)
class Question:
    """One profile in one segment, and what the recomputation says."""

    life: Life
    segment_id: str
    recomputed: bool

    @property
    def pair(self) -> Pair:
        return self.life.profile_id, self.segment_id


@dataclass(frozen=True, slots=True)
class Told:
    """What is known of the stream's decisions."""

    changes: Mapping[Pair, Sequence[MembershipChanged]]
    """In order, those after the cut too."""
    present: Mapping[Pair, bool]
    limit: int = ENTRIES
    """With more entries than that a profile may have overflowed."""

    def at(self, pair: Pair, now: int) -> bool:
        """What was decided for an instant."""
        present = self.present.get(pair, False)
        return standing_at(pair, self.changes.get(pair, ()), present=present, at=now).member


def told(
    changes: Iterable[MembershipChanged], present: Mapping[Pair, bool], limit: int = ENTRIES
) -> Told:
    """The changes by profile and segment."""
    found: dict[Pair, list[MembershipChanged]] = {}
    for change in changes:
        found.setdefault((change.profile_id, change.segment_id), []).append(change)
    return Told(found, present, limit)


def compare(questions: Iterable[Question], decided: Told, found: Audit) -> list[Question]:
    """Judge each question; those with a difference are returned, and not counted yet."""
    still_open = []
    for question in questions:
        checked = found.of(question.segment_id)
        match judge(question.pair, question.life, decided, recomputed=question.recomputed):
            case "different":
                still_open.append(question)
            case "behind":
                checked.behind += 1
            case "overflow":
                checked.overflowed += 1
            case "equal":
                checked.compared += 1
                checked.members += question.recomputed
    return still_open


def conclude(
    still_open: Iterable[Question], still_there: Iterable[Difference], found: Audit
) -> None:
    """What is different after all."""
    for each in still_open:
        stream = not each.recomputed
        difference = Difference(each.life.profile_id, each.segment_id, stream, each.recomputed)
        found.of(each.segment_id).differences.append(difference)
    for lingers in still_there:
        found.of(lingers.segment_id).differences.append(lingers)


def lingering(decided: Told, ended: AbstractSet[str], only: str | None = None) -> list[Difference]:
    """Whoever was merged or erased has left everything, and for ever: those who have not."""
    return [
        Difference(profile_id, segment_id, stream=True, recomputed=False)
        for (profile_id, segment_id), changes in decided.changes.items()
        if only in (None, segment_id) and profile_id in ended and changes[-1].member
    ]


def judge(pair: Pair, life: Life, decided: Told, *, recomputed: bool) -> Verdict:
    """Compare one profile in one segment at the profile's own time at the cut."""
    changes = decided.changes.get(pair, ())
    if decided.at(pair, life.clock) is recomputed:
        return "equal"
    if any(_may_follow(each, life) for each in changes):
        return "behind"
    onward = next((each for each in changes if each.occurred_at > life.clock), None)
    if onward is not None and onward.cause in _BY_DEFINITION and onward.member is recomputed:
        return "behind"
    return "overflow" if len(life.applied) > decided.limit else "different"


def _may_follow(change: MembershipChanged, life: Life) -> bool:
    """Whether its cause may lie behind the cut, though in its millisecond."""
    is_now = change.occurred_at == life.clock and change.cause != "time"
    return is_now and change.cause_id not in _causes(life)


def _causes(life: Life) -> AbstractSet[str]:
    events = {each.event.message_id for each in life.applied}
    return events | {each.merge_id for each in life.merges}
