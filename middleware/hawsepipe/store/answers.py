"""What a store answers about messages beside versions: who waits, behind what, and what would become of resources."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Lane:
    """Messages about one patient that wait behind a letter: its number in the journal and its state (a retry of it is
    RECEIVED), how many wait, and when the oldest of all came.
    """

    patient: str
    letter: int
    state: str
    waiting: int
    oldest: datetime


@dataclass(frozen=True, slots=True)
class Held:
    """The answer for a message that has to wait behind a journal entry."""

    behind: int


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """What a transaction would make of one resource: its content now and after, None where there is none."""

    type: str
    id: str
    before: bytes | None
    after: bytes | None


@dataclass(frozen=True, slots=True)
class Pruned:
    """How many entries of each state were taken out, and the number of the last entry that was looked at (None: there
    are no more).
    """

    counts: Mapping[str, int]
    last: int | None
