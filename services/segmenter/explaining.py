"""Explains a membership from the log, and compares the answer with the stream and with SQL."""

from collections.abc import Mapping
from dataclasses import dataclass

from schemas.problems import nearest
from services.segmenter.checking import (
    Check,
    Ground,
    catches_up,
    check_by_sql,
    check_running,
    conditions_of,
    standing_of,
)
from services.segmenter.domain.explain.explanation import Explanation, explain
from services.segmenter.domain.explain.remembered import remember
from services.segmenter.domain.explain.then import life_at
from services.segmenter.domain.explain.words import instant
from services.segmenter.domain.history import Standing
from services.segmenter.domain.lives import Life
from services.segmenter.domain.register import Register
from services.segmenter.domain.segment import Segment
from services.segmenter.domain.sql.reach import looks_back_to
from services.segmenter.in_force import register_after, standing_register
from services.segmenter.lives import Lives, named, read_lives
from services.segmenter.transitions import decided_of

ATTEMPTS = 3


class Unexplainable(LookupError):
    """There is nothing to explain; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be explained."""

    profile_id: str
    segment_id: str
    at: int | None = None
    """A past instant; None for now."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A membership explained, and compared."""

    profile_id: str
    segment: Segment
    """The version that is in force."""
    waiting: Segment | None
    """The version that is being built to follow it."""
    explanation: Explanation
    standing: Standing
    """What was decided, and by which change."""
    since: int | None
    """From when on the log of events is whole; None when all of it is there."""
    checks: tuple[Check, ...]

    @property
    def member(self) -> bool:
        """Memberships of a paused segment stand still, whatever its condition says."""
        return self.standing.member if self.segment.state == "paused" else self.due

    @property
    def due(self) -> bool:
        """By the condition. Nobody is in an archived segment, whatever that says."""
        return self.explanation.member and self.segment.state != "archived"

    @property
    def disagrees(self) -> bool:
        """Whether any way to the answer comes to another one."""
        return any(check.says not in (None, self.due) for check in self.checks)


def explain_membership(bootstrap: str, asked: Asked, newest: Mapping[str, Segment]) -> Answer:
    """Why a profile is in a segment or not, now or at a past instant, as was known then.

    What seems to disagree is read once more: something may have happened meanwhile.

    Raises:
        Unexplainable: the log says nothing about the profile, the segment or the instant.
        UnknownTopic: there is no log yet.
        KafkaException: the broker went away.
    """
    answer = _attempt(bootstrap, asked, newest)
    for _ in range(ATTEMPTS - 1):
        if not answer.disagrees:
            break
        answer = _attempt(bootstrap, asked, newest)
    return answer


def _attempt(bootstrap: str, asked: Asked, newest: Mapping[str, Segment]) -> Answer:
    lives = read_lives(bootstrap, named({asked.profile_id}))
    whole = _life(lives, asked)
    now = whole.clock if asked.at is None else asked.at
    life = life_at(asked.profile_id, whole, lives.merged, now)
    who = life.profile_id
    register = _register(lives, life, newest)
    segment = _segment(register, asked, now)
    segments = {name: each.segment for name, each in register.in_force.items()}
    explanation = explain(segment, segments, remember(who, life.applied), now)
    log = Ground(
        is_level=catches_up(bootstrap, life.partition, lives.positions[life.partition]),
        since=lives.since,
        looks_back_to=looks_back_to(segment.condition, conditions_of(segments), now),
    )
    decided = decided_of(bootstrap, who)
    standing = standing_of(decided, who, segment.id, now)
    running = check_running(decided, standing, segment, now, log=log)
    checks = (running, check_by_sql(life, segment, segments))
    waiting = register.waiting.get(segment.id)
    return Answer(who, segment, waiting, explanation, standing, lives.since, checks)


def _life(lives: Lives, asked: Asked) -> Life:
    life = lives.lives.get(lives.survivor(asked.profile_id))
    reaches = "" if lives.since is None else f", which reaches back to {instant(lives.since)}"
    if life is None:
        raise Unexplainable(f"nothing about {asked.profile_id} is in the log{reaches}")
    if asked.at is not None and asked.at > life.clock:
        raise Unexplainable(f"the log has only come to {instant(life.clock)}")
    if asked.at is not None and lives.since is not None and asked.at < lives.since:
        raise Unexplainable(f"{instant(asked.at)} lies before the log{reaches}")
    return life


def _register(lives: Lives, life: Life, newest: Mapping[str, Segment]) -> Register:
    """Which versions were in force in the profile's partition at the life's instant."""
    before = Register() if lives.since is None else standing_register(newest)
    told = (
        each.record
        for each in lives.definitions
        if each.partition == life.partition and each.now <= life.clock
    )
    return register_after(before, told)


def _segment(register: Register, asked: Asked, now: int) -> Segment:
    found = register.in_force.get(asked.segment_id)
    if found is not None:
        return found.segment
    if asked.segment_id in register.waiting:
        raise Unexplainable(f"{asked.segment_id} is still being built from the log")
    meant = nearest(asked.segment_id, register.in_force)
    hint = f', did you mean "{meant}"?' if meant else ""
    raise Unexplainable(f'no segment "{asked.segment_id}" is in force at {instant(now)}{hint}')
