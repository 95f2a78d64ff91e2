"""The settings of the segmenter."""

from pydantic import Field

from services.runtime.settings import RuntimeSettings


class SegmenterSettings(RuntimeSettings):
    """How much of the work that can wait is done in one cycle, so that live events do not."""

    timer_slice: int = Field(default=2000, ge=1)
    """Most timers fired in a cycle."""
    walk_slice: int = Field(default=500, ge=1)
    """Most profiles brought to a new definition in a cycle."""
    walk_ms: int = Field(default=10, ge=1)
    """Longest that a cycle does so."""
    build_slice: int = Field(default=1000, ge=1)
    """Most records read again for a build in a cycle."""
    build_ms: int = Field(default=8, ge=1)
    """Longest that a cycle does so while cycles come in time."""
    build_least_ms: int = Field(default=2, ge=1)
    """The same while they come late: a build goes on all the same."""
    audit_profiles: int = Field(default=200, ge=0)
    """So many profiles are recomputed from the log in each pass of the audit; 0 switches it off."""
    audit_interval_s: float = Field(default=60, gt=0)
    """Rest between two passes of the audit."""
    audit_patience_s: float = Field(default=30, gt=0)
    """So long the audit looks at a difference again, for what is still being worked off."""
    audit_records_per_second: int = Field(default=20_000, ge=1)
    """So fast the audit reads the log; it is to be unnoticed."""
    most_entries: int = Field(default=10_000, ge=1)
    """A profile with more entries than that for one condition overflows: its membership stays."""
    hot_profiles: int = Field(default=500, ge=0)
    """So many profiles of a partition, worked on last, are kept at hand; each takes a few KB."""
    tick_ms: int = Field(default=1000, ge=100)
    """A partition without records gets a tick this often."""
