"""The explanation: the profile's id decides, for ever."""

from services.segmenter.domain.conditions.percent.leaf import Percent, bucket
from services.segmenter.domain.explain.reading import Reading
from services.segmenter.domain.explain.words import Written, value


def asks(written: Written) -> str:
    """The leaf in words."""
    return f"one of {written['percent']} % of all profiles (salt {value(written['salt'])})"


def explain(share: Percent, profile_id: str) -> Reading:
    """Where its id stands among all."""
    place = bucket(share.salt, profile_id) * 100 / 2**64
    is_in = share.holds(profile_id)
    return Reading(found=f"it stands at {place:.4f} %", evidence=(), holds_at=lambda _: is_in)
