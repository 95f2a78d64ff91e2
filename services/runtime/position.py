"""How far a partition's state has come: written with the state, in the same transaction."""

import msgspec

FORMAT = 3
"""Of the state: what the runtime writes into it and how the stages lay theirs out."""

POSITION_KEY = b"\x00position"
LOCAL_KEY = b"\x00local"
CHANGELOG_KEY = b"\x00changelog"
"""Local only: the id of the changelog topic that this copy belongs to."""


class Input(msgspec.Struct):
    """Where one input topic was read to, and what was counted on the way."""

    topic_id: str
    partitions: int
    start: int
    """First offset that was ever read."""
    next: int
    """Offset of the next record to read."""
    taken: int = 0
    """Records handled or dead-lettered since `start`, each once."""


class Position(msgspec.Struct, frozen=True):
    """The position record of a partition: one `Input` a topic."""

    format: int
    inputs: dict[str, Input]
    cycle: int = 0
    """How many transactions have changed the partition, those without a new record too."""

    def equals(self, committed: "Committed") -> bool:
        """Whether the state is the one of these committed offsets; an absent one says nothing."""
        known = {topic: offset for topic, offset in committed.offsets.items() if offset is not None}
        return (
            bool(known)
            and all(t in self.inputs and self.inputs[t].next == o for t, o in known.items())
            and committed.cycle in (None, self.cycle)
        )


class Committed(msgspec.Struct, frozen=True):
    """What the group has committed for a partition."""

    offsets: dict[str, int | None]
    """Input topic → offset; None where there is none."""
    cycle: int | None = None
    """The position's `cycle`, from the metadata of the offsets; None if others set them."""

    @property
    def is_absent(self) -> bool:
        return all(offset is None for offset in self.offsets.values())


class Local(msgspec.Struct, frozen=True):
    """What only the local copy knows: how much of the changelog is in it, and since when."""

    changelog_next: int
    written_at: float
    """Unix seconds."""


_position = msgspec.msgpack.Decoder(Position)
_local = msgspec.msgpack.Decoder(Local)


class NewerState(RuntimeError):
    """The state was written by a newer version."""


class OlderState(RuntimeError):
    """The state was written by an older version, which laid it out in another way."""


def encode(value: Position | Local) -> bytes:
    return msgspec.msgpack.encode(value)


def decode_position(data: bytes | None) -> Position:
    """The position in the state; an empty one where there is none.

    Raises:
        NewerState, OlderState: this version cannot read the state.
    """
    if data is None:
        return Position(FORMAT, {})
    position = _position.decode(data)
    if position.format > FORMAT:
        raise NewerState(
            f"the state has format {position.format}, this version reads up to {FORMAT}:"
            " start the newer version"
        )
    if position.format < FORMAT:
        raise OlderState(
            f"the state has format {position.format}, this version reads only {FORMAT}: start the"
            " older version, or delete the stage's changelog, consumer group and state directory"
            " to begin anew"
        )
    return position


def decode_local(data: bytes | None) -> Local:
    return Local(0, 0.0) if data is None else _local.decode(data)
