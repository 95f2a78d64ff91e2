"""Libraries that only some types of source need, and that come as extras of the package."""

from collections.abc import Iterator
from contextlib import contextmanager

from services.runtime.stage import Blocked


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Around an import of what needs the library.

    Raises:
        Blocked: it is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise Blocked(
            "library_missing",
            f"{error.name} is not installed: it comes with the extra `{name}` of the package,"
            f" as in pip install 'afflux[{name}]'",
        ) from None
