"""What a store answers about messages beside versions: who waits, behind what, and what would become of resources."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from hawsepipe.hooks import Refusal
from hawsepipe.model import RawMessage


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


@dataclass(frozen=True, slots=True)
class Delivery:
    """An entry of a destination's queue: its place, the message's number in the journal, the message."""

    number: int
    sequence: int
    message: RawMessage


@dataclass(frozen=True, slots=True)
class Aside:
    """An entry of a destination's queue, as operators see it: its place, where it goes, the message's number in the
    journal and label, why it is not delivered and since when (None: it waits).
    """

    number: int
    destination: str
    sequence: int
    label: str
    refusal: Refusal | None
    settled_at: datetime | None


@dataclass(frozen=True, slots=True)
class Queue:
    """How long a destination's queue is: entries that wait, those set aside, when the oldest that waits got there."""

    waiting: int
    set_aside: int
    oldest: datetime | None


@dataclass(frozen=True, slots=True)
class Messages:
    """Which journalled messages are meant, `limit` of those with a number below `before`; what is None leaves them all.

    `control` is the last part of a message's key (for HL7 v2 MSH-10); `text` a part of a refusal's reason; `since`
    and `until` bound the instant of receipt (inclusive, exclusive). `identifier` is one of a patient whom they are
    about: system (empty: any) and value. `digest` is the SHA-256 of a message's bytes.
    """

    limit: int
    before: int | None = None
    feed: str | None = None
    state: str | None = None
    control: str | None = None
    text: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    identifier: tuple[str, str] | None = None
    digest: bytes | None = None
