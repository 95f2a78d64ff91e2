"""What the library's errors mean: a person is needed, or try again."""

from collections.abc import Iterator
from contextlib import contextmanager

from deltalake.exceptions import DeltaProtocolError, TableNotFoundError

from services.runtime.stage import Blocked
from services.warehouse.domain.source import AGAIN
from services.warehouse.patience import SourceAway

GONE = frozenset({"table_missing", "version_missing", "files_vacuumed"})
"""Reasons that concern versions that are past; a newer one may still be read."""


@contextmanager
def understood(relation: str) -> Iterator[None]:
    """Around every call of the library.

    Raises:
        Blocked: waiting does not help; the reason says what a person has to look at.
        SourceAway: anything else.
    """
    try:
        yield
    except TableNotFoundError:
        raise Blocked(
            "table_missing", f"there is no Delta table for {relation}, or it may not be read"
        ) from None
    except DeltaProtocolError as error:
        raise Blocked("feature_unsupported", f"{relation} cannot be read: {error}") from None
    except Exception as error:
        text = str(error)
        for marks, reason, sentence in _MEANINGS:
            if all(mark in text for mark in marks):
                raise Blocked(reason, f"{relation}: {sentence}: {AGAIN}") from None
        raise SourceAway(text.partition(":")[0][:80]) from error


_MEANINGS: tuple[tuple[tuple[str, ...], str, str], ...] = (
    (
        ("Invalid table version",),
        "version_missing",
        "the log of the versions that were not read yet is gone",
    ),
    (
        ("Expected contiguous commit files",),
        "version_missing",
        "the log of the versions that were not read yet has a hole",
    ),
    (
        ("Change Data not enabled",),
        "feed_disabled",
        "the change data feed was switched off for a while, and changes are lost",
    ),
    (
        ("Object at location", "not found"),
        "files_vacuumed",
        "files of versions that were not read yet were vacuumed",
    ),
)
"""Parts of an error's text, all of them there → reason and sentence."""
