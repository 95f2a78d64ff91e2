"""The settings of the segmenter."""

from pydantic import Field

from services.runtime.settings import RuntimeSettings


class SegmenterSettings(RuntimeSettings):
    """How much of the work that can wait is done in one cycle, so that live events do not."""

    timer_slice: int = Field(default=2000, ge=1)
    """Most timers fired in a cycle."""
    walk_slice: int = Field(default=500, ge=1)
    """Most profiles brought to a new definition in a cycle."""
    build_slice: int = Field(default=1000, ge=1)
    """Most records read again for a build in a cycle."""
    build_ms: int = Field(default=10, ge=1)
    """Longest that a cycle does so."""
    tick_ms: int = Field(default=1000, ge=100)
    """A partition without records gets a tick this often."""
