"""A regulation as records for the log: suppressions, notes for the disks, requests to erase."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from schemas.codec import Undecodable, decode_as, encode
from schemas.records import ErasureRequested, Identifier, SubjectType, Suppression
from services.ingest.domain.suppression import Digests, suppression_key
from services.ingest.privacy.regulations import Regulation

EFFECTIVE_WITHIN_MS = 60_000
"""By then a suppression is in force everywhere; until then somebody may still let an event in."""
KEPT_MS = 30 * 86_400_000
"""As long as identity knows the digests of people erased."""
PART = 200
"""Most people in one record, which must stay well under the broker's limit."""
IDENTIFIER_TYPES: Mapping[SubjectType, str] = {
    "USER_ID": "user_id",
    "ANONYMOUS_ID": "anonymous_id",
}


@dataclass(frozen=True, slots=True)
class Commands:
    """Under one secret."""

    digests: Digests

    def suppression(
        self, source_id: str | None, subject_type: SubjectType, subject: str
    ) -> tuple[str, bytes]:
        """The key and the record that say that a person is suppressed."""
        digest = self.digests.of(subject_type, subject)
        record = Suppression(
            source_id=source_id,
            subject_type=subject_type,
            key_id=self.digests.key_id,
            digest=digest,
        )
        return suppression_key(source_id, digest), encode(record)

    def suppressions(
        self, regulation: Regulation, in_force: Collection[str]
    ) -> Iterator[tuple[str, bytes | None]]:
        """What the log must say of the subjects; None where nothing is in force."""
        for subject in regulation.subjects:
            key, record = self.suppression(regulation.source_id, regulation.subject_type, subject)
            yield key, record if subject in in_force else None

    def erasures(self, regulation: Regulation) -> Iterator[tuple[str, bytes]]:
        """For the disks on which events wait; what they may still hold is of before."""
        source = regulation.source_id if regulation.effect.erases == "archive" else None
        for subject in regulation.subjects:
            digest = self.digests.of(regulation.subject_type, subject)
            record = Suppression(
                source_id=source,
                subject_type=regulation.subject_type,
                key_id=self.digests.key_id,
                digest=digest,
                until=regulation.erases_until,
            )
            key = suppression_key(source, digest, regulation_id=regulation.id)
            yield key, encode(record)

    def is_to_stay(self, value: bytes, now: int) -> bool:
        """Whether a record in the log is no business of the table: a recent erasure, or one of a
        newer version."""
        try:
            record = decode_as(Suppression, value)
        except Undecodable:
            return True
        is_ours = record.key_id == self.digests.key_id
        return is_ours and record.until is not None and record.until > now - KEPT_MS


def until(regulation: Regulation, now: int) -> int | None:
    """What was received by then is to go; instants are Unix milliseconds."""
    match regulation.effect:
        case effect if effect.erases is None:
            return None
        case effect:
            return now + EFFECTIVE_WITHIN_MS if effect.suppression == "begin" else now


def parts(regulation: Regulation) -> int:
    """In how many records its people come."""
    return -(-len(regulation.subjects) // PART)


def requests(regulation: Regulation) -> Sequence[ErasureRequested]:
    """To identity, which knows who they are."""
    assert regulation.erases_until is not None
    type_ = IDENTIFIER_TYPES[regulation.subject_type]
    return [
        ErasureRequested(
            erasure_id=f"{regulation.id}/{number}",
            regulation_id=regulation.id,
            subjects=tuple(
                Identifier(type_, subject)
                for subject in regulation.subjects[number * PART : (number + 1) * PART]
            ),
            at=regulation.erases_until,
            destinations=regulation.effect.destinations,
        )
        for number in range(parts(regulation))
    ]
