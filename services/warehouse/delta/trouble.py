"""What the library's errors mean: a person is needed, or try again."""

from collections.abc import Iterator
from contextlib import contextmanager

from deltalake.exceptions import DeltaProtocolError, TableNotFoundError

from services.runtime.stage import Blocked
from services.warehouse.patience import SourceAway
from services.warehouse.versions import lost


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
        for marks, reason in _MARKS:
            if all(mark in text for mark in marks):
                raise lost(reason, relation) from None
        raise SourceAway(text.partition(":")[0][:80]) from error


_MARKS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("Invalid table version",), "version_missing"),
    (("Expected contiguous commit files",), "version_missing"),
    (("Change Data not enabled",), "feed_disabled"),
    (("Object at location", "not found"), "files_vacuumed"),
)
"""Parts of an error's text, all of them there → reason."""
