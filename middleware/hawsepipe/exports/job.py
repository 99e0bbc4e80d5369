"""One export as a value, and how it is kept beside its files."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path

import msgspec

from hawsepipe.consent.exports import Level, Place
from hawsepipe.errors import StoreError
from hawsepipe.model import Principal


class State(StrEnum):
    """Where a job stands."""

    RUNNING = "running"
    COMPLETE = "complete"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be exported. `types` in their order; `filters` are (type, query string); `members` are patients' ids.

    `request` is the address that was asked for.
    """

    request: str
    level: Level
    types: tuple[str, ...]
    filters: tuple[tuple[str, str], ...] = ()
    members: tuple[str, ...] = ()
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class File:
    """One file of resources of a type: how many, how many bytes of content and of the index beside it."""

    name: str
    type: str
    count: int = 0
    size: int = 0
    index: int = 0


@dataclass(frozen=True, slots=True)
class Job:
    """An export. `started` is the instant up to which resources are told; `portion` the number of the type under way
    and `place` where in it.
    """

    id: str
    principal: Principal
    order: Order
    started: datetime
    state: State = State.RUNNING
    portion: int = 0
    place: Place = field(default_factory=Place)
    files: tuple[File, ...] = ()
    ended: datetime | None = None

    @property
    def count(self) -> int:
        """How many resources have been written."""
        return sum(file.count for file in self.files)

    def belongs_to(self, principal: Principal) -> bool:
        """Say whether it is this principal's: the same person or system, by the same client, for the same purpose."""
        mine, theirs = self.principal, principal
        return (mine.tenant, mine.subject, mine.client, mine.purpose, mine.patient) == (
            theirs.tenant,
            theirs.subject,
            theirs.client,
            theirs.purpose,
            theirs.patient,
        )

    def ending(self, state: State, now: datetime) -> Job:
        """Return it ended."""
        return replace(self, state=state, ended=now)


NAME = "job.json"


def read(folder: Path) -> Job:
    """Read the job that is kept in a folder. Raises StoreError for one that cannot be read."""
    try:
        return msgspec.json.decode((folder / NAME).read_bytes(), type=Job)
    except (OSError, msgspec.MsgspecError) as error:
        raise StoreError("an export's record cannot be read") from error
