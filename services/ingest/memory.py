"""The events that this process knows to be durable: copies of them need not be stored again.

A saving, no promise: identity decides. Two copies in flight at the same moment are both sent, for
neither is durable yet, and what is forgotten is sent again.
"""

from collections.abc import Collection, Set

_NONE: Set[str] = frozenset()


class Recent:
    """At least the last `entries` ids, and at most twice as many, at about 200 bytes each."""

    def __init__(self, entries: int) -> None:
        self._entries = entries
        self._young: dict[str, set[str]] = {}
        self._old: dict[str, set[str]] = {}
        self._left = entries

    def any_seen(self, source_id: str, message_ids: Collection[str]) -> bool:
        young, old = self._young.get(source_id, _NONE), self._old.get(source_id, _NONE)
        return not (young.isdisjoint(message_ids) and old.isdisjoint(message_ids))

    def remember(self, source_id: str, message_ids: Collection[str]) -> None:
        young = self._young.setdefault(source_id, set())
        self._left += len(young)
        young.update(message_ids)
        self._left -= len(young)
        if self._left <= 0:
            self._old, self._young, self._left = self._young, {}, self._entries
