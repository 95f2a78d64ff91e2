"""What one event tells a profile: identifiers, consent, traits, and that it happened."""

from dataclasses import dataclass

from schemas.predicates.filters import Happened
from schemas.records import ProfileEvent
from services.segmenter.domain.calls import called, properties_of
from services.segmenter.domain.catalogue import Catalogue, Placed
from services.segmenter.domain.conditions.leaf import SteadyLeaf
from services.segmenter.domain.facts import consent_entries, trait_writes
from services.segmenter.domain.payload import Payload, RowChange
from services.segmenter.domain.profile import Profile
from services.segmenter.domain.refresh import note, refresh
from services.segmenter.domain.rows import Row

_RELATION = "relation"


@dataclass(slots=True)
class Intake:
    """One event on its way into one profile."""

    catalogue: Catalogue
    profile: Profile
    event: ProfileEvent
    content: Payload
    at: int
    now: int
    touched: dict[str, Placed]
    """Filled with the segments of which a leaf flipped."""

    def take(self) -> None:
        """Take everything in."""
        self._link()
        self._consent()
        if self.content.traits is not None:
            self._write_traits()
        if self.event.type == _RELATION:
            self._relate()
        else:
            self._happen()

    def relive(self) -> None:
        """Take in only that it happened: all else about it is known, it was applied before."""
        if self.content.traits is not None:
            self._write_traits()
        self._happen()

    def _link(self) -> None:
        linked = self.profile.linked
        for identifier in self.event.identifiers:
            known = (identifier.type, identifier.value)
            if known not in linked:
                linked[known] = None
                self.profile.facts_changed()

    def _consent(self) -> None:
        context = self.content.context
        if type(context) is not dict or "consent" not in context:
            return
        for key, said in consent_entries(context, self.at):
            if self.profile.facts.state(key, said):
                self.profile.facts_changed()

    def _write_traits(self) -> None:
        event, profile = self.event, self.profile
        writes = trait_writes(event.type, self.content.traits, self.at, event.message_id)
        for slot, write in writes:
            is_current = profile.facts.write(slot, write)
            if is_current:
                profile.facts_changed()
            for leaf in self.catalogue.by_trait.get(slot, ()):
                if leaf.key in profile.overflowed:
                    continue
                if isinstance(leaf, SteadyLeaf):
                    leaf.record(profile.history(leaf), slot, write, self.now)
                elif not is_current:
                    continue
                if refresh(self.catalogue, profile, leaf, self.now):
                    self._touch(leaf.key)

    def _relate(self) -> None:
        """A row of a relation was linked to the profile, changed, or was unlinked."""
        name, change, profile = self.event.name, self.content.row, self.profile
        if name is None or not isinstance(change, RowChange):
            return
        gone = change.op == "unlink"
        row = Row(change.position, None if gone else change.columns, self.now if gone else 0)
        if profile.facts.relate(name, change.key, row, self.now, self.catalogue.limit):
            for leaf in self.catalogue.by_relation.get(name, ()):
                if refresh(self.catalogue, profile, leaf, self.now):
                    self._touch(leaf.key)

    def _happen(self) -> None:
        event, profile = self.event, self.profile
        name = called(event)
        leaves = None if name is None else self.catalogue.by_event.get(name)
        if name is None or leaves is None:
            return
        content = self.content
        properties = properties_of(event, content.properties)
        happened = Happened(name, self.at, event.message_id, properties, content.context)
        now, limit, overflowed = self.now, self.catalogue.limit, profile.overflowed
        for leaf in leaves:
            match = leaf.matches(happened)
            if match is None or leaf.key in overflowed:
                continue
            history = profile.history(leaf)
            holds, due = leaf.take(history, match, now)
            if history.entries() > limit:
                profile.overflow(leaf)
            elif note(profile, leaf, history, holds, due):
                self._touch(leaf.key)

    def _touch(self, key: int) -> None:
        for entry in self.catalogue.dependents.get(key, ()):
            self.touched[entry.segment.id] = entry
