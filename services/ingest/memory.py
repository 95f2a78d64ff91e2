"""The newest message ids that are durable: copies of them need not go to the log again."""

from collections.abc import Iterable


class Recent:
    """Holds so many ids, the oldest go first; identity alone decides what is a copy."""

    def __init__(self, entries: int) -> None:
        self._entries = entries
        self._ids: dict[tuple[str, str], None] = {}

    def seen(self, source_id: str, message_id: str) -> bool:
        return (source_id, message_id) in self._ids

    def remember(self, source_id: str, message_ids: Iterable[str]) -> None:
        for message_id in message_ids:
            self._ids[source_id, message_id] = None
        while len(self._ids) > self._entries:
            del self._ids[next(iter(self._ids))]
