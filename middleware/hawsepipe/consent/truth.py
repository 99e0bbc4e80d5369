"""Three-valued truth (Kleene).

What cannot be decided is UNKNOWN: it never makes a permit fire and always makes a deny fire.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum


class Truth(IntEnum):
    """False, unknown, true, in that order."""

    FALSE = 0
    UNKNOWN = 1
    TRUE = 2


def truth(value: bool) -> Truth:
    """Return a decided value."""
    return Truth.TRUE if value else Truth.FALSE


def every(values: Iterable[Truth]) -> Truth:
    """AND: the least of them; TRUE for none."""
    return min(values, default=Truth.TRUE)


def some(values: Iterable[Truth]) -> Truth:
    """OR: the greatest of them; FALSE for none."""
    return max(values, default=Truth.FALSE)
