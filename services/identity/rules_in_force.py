"""Which identity rules count right now: those of the workspace, else the defaults."""

import structlog
from pydantic import ValidationError

from services.identity.domain.extract import Extractor
from services.identity.domain.merge import Limits
from services.identity.domain.rules import IdentityRules
from services.runtime.definitions import Snapshot

log = structlog.get_logger()


class RulesInForce:
    """The rules of the newest snapshot, compiled once for each change."""

    def __init__(self) -> None:
        self._snapshot: Snapshot | None = None
        self._use(IdentityRules())

    def follow(self, snapshot: Snapshot) -> bool:
        """Whether the snapshot brought other rules."""
        if snapshot is self._snapshot:
            return False
        self._snapshot = snapshot
        try:
            rules = rules_of(snapshot)
        except ValidationError:
            log.error("the identity rules cannot be read; the ones before stay in force")
            return False
        if rules == self.rules:
            return False
        self._use(rules)
        return True

    def _use(self, rules: IdentityRules) -> None:
        self.rules = rules
        self.extractor = Extractor(rules)
        self.limits = Limits.of(rules)


def rules_of(snapshot: Snapshot) -> IdentityRules:
    """The one live document of the kind; `validate` has seen to it that there are not two.

    Raises:
        ValidationError: written by a version that knows more.
    """
    documents = sorted(
        (definition.id, definition.body)
        for (kind, _), definition in snapshot.items()
        if kind == "identity" and definition.state == "live"
    )
    return IdentityRules.model_validate_json(documents[0][1]) if documents else IdentityRules()
