"""The frozen values that travel between rooms.

Values do no I/O. A resource is a plain `dict` as decoded by `hawsepipe.fhir.codec` (decimals are
`decimal.Decimal` or, for a spelling that Decimal would change, `msgspec.Raw`); by agreement nobody changes one that
is inside a value. Instants are aware datetimes in UTC. Digests are 32 bytes (SHA-256).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple, overload

Resource = dict[str, Any]


class Severity(StrEnum):
    """OperationOutcome issue severity (R4 IssueSeverity)."""

    FATAL = "fatal"
    ERROR = "error"
    WARNING = "warning"
    INFORMATION = "information"


@dataclass(frozen=True, slots=True)
class Issue:
    """One finding about a message or a resource.

    `cause` is parse, structure, mapping, code, required or identity for messages and an R4 IssueType code for
    resources; `location` is a v2 location (`OBX[2]-5.1`) or a FHIRPath (`Patient.name[0].family`); `text` names no
    patient data.
    """

    severity: Severity
    cause: str
    location: str
    text: str


@dataclass(frozen=True, slots=True)
class RawMessage:
    """A message as it came in. `body` is every byte of it; `digest` is SHA-256 over `body`."""

    feed: str
    received_at: datetime
    media_type: str
    body: bytes
    digest: bytes = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "digest", hashlib.sha256(self.body).digest())


class Method(StrEnum):
    """How a change meets what is stored.

    CREATE: refuse when the id exists. PUT: the resource becomes the new content. MERGE: each top-level element of
    the resource replaces the stored one, the elements in `Change.remove` go, those in `Change.union` are lists joined
    item by item; what is not mentioned stays. DELETE: a tombstone version.
    """

    CREATE = "create"
    PUT = "put"
    MERGE = "merge"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Change:
    """One change of one resource.

    `if_match` is the version number that must be current (0 = must not exist, None = no condition). For MERGE:
    `remove` names what to delete: top-level elements, a part of an object (`period.end`), or the items of a list that
    have one identity (`extension[url]`, `link[Patient/1]`) or are of one kind (`telecom[use=work]`,
    `telecom[use!=work]`, `generalPractitioner[type=Organization]`); items that the change brings come after that.
    `union` top-level lists to join (identifiers by system and value, links by target, participants by actor, service
    types by code, extensions by url, anything else by equality) and objects to join key by key; `keep` elements that
    are only written where the stored resource has none (one that is in `union` too: what the stored list or object
    lacks). An element of a choice (`deceasedDateTime`) takes the place of its siblings.
    With `resourceType` in `keep` only what never was there is written: what is, and what was deleted, stays as it is.
    `passes`: the resource passes to another patient by the source's own word; without it a number alone takes nothing
    from anybody.
    """

    method: Method
    type: str
    id: str
    resource: Resource | None
    if_match: int | None = None
    remove: frozenset[str] = frozenset()
    union: frozenset[str] = frozenset()
    keep: frozenset[str] = frozenset()
    passes: bool = False


class Trail(NamedTuple):
    """Which source position wrote which element: `Patient/1`, `name[0].family`, `PID-5.1`."""

    resource: str
    path: str
    source: str


Leaves = Sequence[tuple[str, str]]
"""Paths below a value (`.given[0]`, empty for the value itself) and their sources (`PID-5.2`)."""


class Trails(Sequence[Trail]):
    """The trail of a message, put together when somebody reads it.

    It is made of what was noted on the way: by resource, where values were written (`name[0]`) and their leaves. Nobody
    changes these any more. It equals a trail of the same lines in any other form.
    """

    __slots__ = ("_noted", "_told")

    def __init__(self, noted: Sequence[tuple[str, Sequence[tuple[str, Leaves]]]]) -> None:
        self._noted = noted
        self._told: tuple[Trail, ...] | None = None

    @property
    def noted(self) -> Sequence[tuple[str, Sequence[tuple[str, Leaves]]]]:
        """By resource, in the order of writing: the path of each value and its leaves."""
        return self._noted

    def _lines(self) -> tuple[Trail, ...]:
        if self._told is None:
            # What a NamedTuple does when it is called, without the call: a message has hundreds.
            new = tuple.__new__
            self._told = tuple(
                [
                    new(Trail, (resource, path + below, source))
                    for resource, written in self._noted
                    for path, leaves in written
                    for below, source in leaves
                ]
            )
        return self._told

    def __reduce__(self) -> tuple[type[Trails], tuple[object]]:
        return Trails, (self._noted,)

    @overload
    def __getitem__(self, index: int) -> Trail: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Trail]: ...
    def __getitem__(self, index: int | slice) -> Trail | Sequence[Trail]:
        return self._lines()[index]

    def __len__(self) -> int:
        return len(self._lines())

    def __iter__(self) -> Iterator[Trail]:
        return iter(self._lines())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and self._lines() == tuple(other)

    def __hash__(self) -> int:
        return hash(self._lines())


@dataclass(frozen=True, slots=True)
class Translation:
    """What a translator made of one message.

    `changes` refer to each other by `Type/id`; `label` names the message for people without patient data
    (`ADT^A01 20260301-17 from ADT1|GOOD`); `event_time` is when the event happened by the sender's word, if told.
    `provenance` are the sender's words for the message's Provenance: its elements without id and target (when it
    happened, when the sender recorded it, by whom, why, where, from what), referring to `changes`; the record adds what
    it knows itself. Its lines in `trail` have the resource `Provenance`. `header` is a MessageHeader, which goes with a
    Bundle and is no part of a record.
    """

    changes: tuple[Change, ...]
    issues: tuple[Issue, ...]
    trail: Sequence[Trail]
    label: str
    event_time: datetime | None = None
    provenance: Resource | None = None
    header: Resource | None = None


class Piece(NamedTuple):
    """A message of a file, from its offset on, and what is wrong with the file there; `body` is empty for a finding
    about the file alone.
    """

    offset: int
    body: bytes
    issues: tuple[Issue, ...] = ()


@dataclass(frozen=True, slots=True)
class Converted:
    """A resource or Bundle as R4: `label` names version and type (`STU3 Bundle transaction`); `issues` say what has no
    place in R4 and what was written that the source does not say.
    """

    resource: Resource
    label: str
    issues: tuple[Issue, ...]


@dataclass(frozen=True, slots=True)
class Transaction:
    """Changes that take effect together, at one instant, or not at all.

    `provenance` is a draft R4 Provenance without `target`, `recorded` and `meta`; the store completes it with the
    versions that the changes made and stores it as the same transaction's last resource. `source` is the digest of the
    message that caused it, `rules` the digest of the mapping rules in force; both None for a change by an API client.
    `actor` is a reference (`Practitioner/1`) or `feed:<name>`. `event_time` is when what it tells happened, by its
    sender's word: where a resource shows what a newer event told, this one fills in what is missing at most.
    """

    changes: tuple[Change, ...]
    provenance: Resource | None
    actor: str
    instant: datetime
    source: bytes | None = None
    rules: bytes | None = None
    trail: Sequence[Trail] = ()
    event_time: datetime | None = None


class Operation(StrEnum):
    """What made a version."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Version:
    """One stored version of one resource.

    `content` is the exact stored JSON (served and hashed as it is; for a delete the last content's identity only:
    `None`). `patients` are the ids of every patient that it is about. `commitment` is what the ledger sees, `opening`
    and `salt` open it (None after erasure). `first_recorded` is the instant of version 1. `changed` is False when a
    change had no effect and this is the version that was there before.
    """

    type: str
    id: str
    version: int
    last_updated: datetime
    first_recorded: datetime
    operation: Operation
    content: bytes | None
    patients: tuple[str, ...]
    commitment: bytes
    opening: bytes | None
    salt: bytes | None
    changed: bool = True

    @property
    def reference(self) -> str:
        """`Patient/1`."""
        return f"{self.type}/{self.id}"

    @property
    def versioned_reference(self) -> str:
        """`Patient/1/_history/2`."""
        return f"{self.type}/{self.id}/_history/{self.version}"


@dataclass(frozen=True, slots=True)
class Draft:
    """A version about to be sealed: all that its opening says. `previous` is the commitment of the version before.

    `digests`, where they are known beforehand, are what `fhir.canonical.digests` gives of the content.
    """

    type: str
    id: str
    version: int
    operation: Operation
    recorded: datetime
    content: bytes | None
    patients: tuple[str, ...]
    previous: bytes | None
    digests: tuple[bytes, bytes] | None = None


@dataclass(frozen=True, slots=True)
class Seal:
    """A hiding commitment and what opens it: `opening` is canonical JSON, `salt` 32 random bytes."""

    commitment: bytes
    opening: bytes
    salt: bytes


@dataclass(frozen=True, slots=True)
class Anchor:
    """What leaves for the log: a place in the outbox and 32 bytes. There is no field that could hold health data.

    `place` stays: where the current-state map has the resource, empty for what is no version of one.
    """

    sequence: int
    digest: bytes
    place: bytes = b""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A signed head of a channel's log. `note` is the C2SP signed note, with every signature."""

    channel: str
    size: int
    root: bytes
    note: bytes


@dataclass(frozen=True, slots=True)
class Receipt:
    """A backend's word that it holds a checkpoint. `position` and `proof` are the backend's own JSON values."""

    backend: str
    channel: str
    size: int
    root: bytes
    position: str
    proof: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks, in which role and for what, as asserted by a verified token.

    `subject` is the fhirUser (`Practitioner/1`) or `Device/<client id>` for a system; `scopes` are SMART scopes as
    granted; `purpose` is a v3-ActReason code or None; `patient` is the launch context; `actors` are further references
    that the token itself asserts (PractitionerRole, Organization, client Device). `roles` are role codes.
    """

    subject: str
    client: str
    tenant: str
    scopes: frozenset[str]
    roles: frozenset[str] = frozenset()
    purpose: str | None = None
    patient: str | None = None
    actors: frozenset[str] = frozenset()
    token_id: str = ""


@dataclass(frozen=True, slots=True)
class Access:
    """One entry of the access record: who asked for what, for which purpose, and what was decided by which consents.

    `interaction` is a RESTful interaction code (read, search-type …); `target` is `Type`, `Type/id` or
    `Type/id/_history/n`; `query` is empty or the search without its values (`Observation?code&patient`).
    """

    instant: datetime
    subject: str
    client: str
    purpose: str | None
    interaction: str
    target: str
    patients: tuple[str, ...]
    permit: bool
    reasons: tuple[str, ...]
    consents: tuple[str, ...] = ()
    query: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """Permit or deny, why (stable reason tags), by which Consent versions, under which obligations (v3-ActCode)."""

    permit: bool
    reasons: tuple[str, ...]
    consents: tuple[str, ...] = ()
    obligations: tuple[str, ...] = ()
