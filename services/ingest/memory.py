"""The events that this process knows to be durable: copies of them need not be stored again.

A saving, no promise: identity decides. Two copies in flight at the same moment are both sent, for
neither is durable yet, and what is forgotten is sent again.
"""

from collections.abc import Iterable


class Recent:
    """At least the last `entries` ids, and at most twice as many, at about 200 bytes each."""

    def __init__(self, entries: int) -> None:
        self._entries = entries
        self._young: set[tuple[str, str]] = set()
        self._old: set[tuple[str, str]] = set()

    def seen(self, source_id: str, message_id: str) -> bool:
        one = (source_id, message_id)
        return one in self._young or one in self._old

    def remember(self, source_id: str, message_ids: Iterable[str]) -> None:
        self._young.update((source_id, message_id) for message_id in message_ids)
        if len(self._young) >= self._entries:
            self._old, self._young = self._young, set()
