"""One subscription as a value, and how it is kept: a file of its own, replaced whole at each step."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import msgspec

from hawsepipe.errors import StoreError
from hawsepipe.model import Principal, Resource

KEPT: Final = 1000
"""Events of a subscription that are kept, for `$events`; and how many may wait."""


class State(StrEnum):
    """SubscriptionStatus of R4."""

    REQUESTED = "requested"
    ACTIVE = "active"
    ERROR = "error"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class Event:
    """One event: its number, when it was, and the version that it is about."""

    number: int
    instant: datetime
    type: str
    id: str
    version: int


@dataclass(frozen=True, slots=True)
class Record:
    """A subscription. `resource` is as its client wrote it, without status; `place` is up to where the record was
    looked at; `count` how many events there were, `sent` the number of the last that was delivered; `failing` since
    when deliveries fail, `heard` when something was delivered last.
    """

    id: str
    principal: Principal
    resource: Resource
    version: int
    updated: datetime
    state: State = State.REQUESTED
    error: str = ""
    place: tuple[int, int] = (0, 0)
    count: int = 0
    sent: int = 0
    events: tuple[Event, ...] = ()
    failing: datetime | None = None
    failures: int = 0
    heard: datetime | None = None

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

    def waiting(self) -> tuple[Event, ...]:
        """Return the events that are still to be delivered, in order."""
        return tuple(event for event in self.events if event.number > self.sent)

    def with_events(self, found: list[tuple[datetime, str, str, int]], place: tuple[int, int]) -> Record:
        """Return it with further events."""
        events = [Event(self.count + number, *one) for number, one in enumerate(found, 1)]
        kept = (*self.events, *events)[-KEPT:]
        return replace(self, events=kept, count=self.count + len(found), place=place)

    def shown(self) -> Resource:
        """Return the Subscription as it is read: headers of the channel may be secrets and are not shown."""
        channel: dict[str, Any] = {name: value for name, value in self.resource["channel"].items() if name != "header"}
        meta = dict(self.resource.get("meta", {}))
        meta |= {"versionId": str(self.version), "lastUpdated": self.updated.isoformat().replace("+00:00", "Z")}
        found = {**self.resource, "id": self.id, "meta": meta, "status": self.state.value, "channel": channel}
        return found | ({"error": self.error} if self.error else {})


class Folder:
    """The folder of all subscriptions."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def all(self) -> list[Record]:
        """Return every subscription that can be read."""
        self._path.mkdir(parents=True, exist_ok=True, mode=0o700)
        found = []
        for path in sorted(self._path.glob("*.json")):
            try:
                found.append(msgspec.json.decode(path.read_bytes(), type=Record))
            except (OSError, msgspec.MsgspecError) as error:
                raise StoreError("the record of a subscription cannot be read") from error
        return found

    def keep(self, record: Record) -> None:
        """Keep a record, durably, in the place of the one before. Raises StoreError."""
        path = self._path / f"{record.id}.json"
        fresh = path.with_suffix(".new")
        try:
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as sink:
                sink.write(msgspec.json.encode(record))
                sink.flush()
                os.fsync(sink.fileno())
            fresh.replace(path)
            self._sync()
        except OSError as error:
            raise StoreError("the record of a subscription cannot be written") from error

    def remove(self, id: str) -> None:
        """Take a record away. Raises StoreError."""
        try:
            (self._path / f"{id}.json").unlink(missing_ok=True)
            self._sync()
        except OSError as error:
            raise StoreError("the record of a subscription cannot be taken away") from error

    def _sync(self) -> None:
        descriptor = os.open(self._path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
