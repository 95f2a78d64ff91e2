"""Who had been merged or erased before the log begins: the compacted profiles still say it."""

from confluent_kafka import Message

from schemas.codec import Undecodable, decode
from schemas.records import ProfileErased, ProfileMerged, ProfileUpdated, Record
from schemas.topics import PROFILE_EVENTS, PROFILES
from services.runtime.past import Reach, reach, read_past


def read_buried(bootstrap: str, held: Reach) -> dict[str, str | None]:
    """Profile → whom it was merged into, None for an erased one; empty when the log is whole.

    Events that still came for them are in the log, but count elsewhere or nowhere.

    Raises:
        KafkaException: the broker went away.
    """
    if not any(held.starts.values()):
        return {}
    found: dict[str, str | None] = {}
    for message in read_past(bootstrap, PROFILES.name, reach(bootstrap, PROFILES.name).ends):
        record = _record(message)
        if isinstance(record, ProfileUpdated) and (record.merged_into or record.erased):
            found[record.profile_id] = record.merged_into
    for message in read_past(bootstrap, PROFILE_EVENTS.name, held.ends, start=held.starts):
        match _record(message):
            case ProfileMerged(loser=profile_id) | ProfileErased(profile_id=profile_id):
                found.pop(profile_id, None)
            case _:
                pass
    return found


def _record(message: Message) -> Record | None:
    value = message.value()
    try:
        return decode(value) if isinstance(value, bytes) else None
    except Undecodable:
        return None
