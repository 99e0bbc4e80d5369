"""What a plugin may give: kinds, and the contracts of what a kind opens.

A plugin is a module (or object) named by an entry point of the group `hawsepipe`. It implements any of the hooks below
with `hookimpl`. Hooks are synchronous, run once at start and return kinds; everything that waits lives on the objects
that a kind opens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

import pluggy

from hawsepipe.clock import Clock
from hawsepipe.errors import ConfigError
from hawsepipe.meters import Meters
from hawsepipe.model import Checkpoint, Converted, Issue, Piece, Principal, RawMessage, Receipt, Resource, Translation
from hawsepipe.visibility import Formula

GROUP = "hawsepipe"
"""The entry-point group, and pluggy's project name."""

hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)
"""Marks a plugin's implementation of a hook."""


@dataclass(frozen=True, slots=True)
class Opening:
    """What a kind's `open` gets.

    `name` is the instance's name in the configuration, `settings` its checked settings with defaults filled in,
    `directory` a directory of its own (made before the call), `clock` the time. Relative paths in settings are relative
    to `base`, the directory of the configuration file.
    """

    name: str
    settings: Mapping[str, Any]
    directory: Path
    clock: Clock
    meters: Meters
    base: Path = Path()


T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Kind(Generic[T_co]):
    """A kind: `name` as the configuration spells it, a JSON Schema (2020-12) for its settings, and how to open one.

    `open` returns an async context manager; leaving it MUST release everything that entering took.
    """

    name: str
    config_schema: Mapping[str, Any]
    open: Callable[[Opening], AbstractAsyncContextManager[T_co]]


# -- feeds -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a message is set aside at the door: cause (parse, structure, mapping, code, required), location, text."""

    cause: str
    location: str
    text: str


@dataclass(frozen=True, slots=True)
class Acceptance:
    """The journal's word: the message is on the disk.

    `sequence` is its number in the journal, `duplicate` says that the same message was accepted before, and `reply` is
    the acknowledgement to send: the one given, or for a duplicate the one that was stored then. `reused` says that
    another message was accepted under the same key before; then `reply` is that of `Reuse` if one was given.
    """

    sequence: int
    duplicate: bool
    reply: bytes
    reused: bool = False


@dataclass(frozen=True, slots=True)
class Reuse:
    """What becomes of a message whose key belongs to another one that was accepted: it is set aside with `refusal`, and
    `reply` is its answer.
    """

    reply: bytes
    refusal: Refusal


class Intake(Protocol):
    """What a feed hands its messages to (implemented by the host)."""

    async def accept(
        self, message: RawMessage, *, key: str, reply: bytes, refusal: Refusal | None = None, reuse: Reuse | None = None
    ) -> Acceptance:
        """Store the message durably and return once it is.

        `key` identifies the message within its feed (for HL7 v2: MSH-3, MSH-4, MSH-10); the same key with the same
        digest is a duplicate. With `refusal` the message goes to the dead letters and has no effect. A duplicate of a
        message that failed is accepted anew. A message that uses the key of another one that was accepted is accepted
        too (counters start again), unless `reuse` says otherwise. Raises StoreError when it is not stored; then
        nothing has happened.
        """
        ...

    async def outcome(self, sequence: int) -> Refusal | None:
        """Wait until an accepted message is applied, and return None, or set aside, and return why."""
        ...

    async def mended(self, sequence: int) -> None:
        """Wait until a message that was set aside is applied after all, because an operator has retried it. Whoever
        waits must be ready to do so for ever.
        """
        ...

    async def set_aside(self, feed: str, location: str) -> Sequence[tuple[int, RawMessage]]:
        """Return the messages of a feed that were set aside for a reason at a location, with their numbers, oldest
        first; a thousand at most.
        """
        ...

    async def taken_up(self, sequences: Sequence[int], instant: datetime) -> None:
        """Take messages off the list of those set aside: another one has taken up what they tell. Their bytes stay."""
        ...


class Feed(Protocol):
    """An opened feed.

    MUST answer positively only after `Intake.accept` has returned. MUST hand over every message that it
    cannot use with a `Refusal` rather than drop it. MUST stop reading when `accept` is slow.
    """

    @property
    def address(self) -> str:
        """Where it listens or reads, for people (`mllp://127.0.0.1:2575`)."""
        ...

    async def start(self, intake: Intake) -> None:
        """Begin. Returns when the feed can receive; the work goes on until the context is left."""
        ...


@dataclass(frozen=True, slots=True)
class SetAside:
    """A message that was set aside, at the door or later: as it came, its key within its feed, and why."""

    message: RawMessage
    key: str
    refusal: Refusal | None


@dataclass(frozen=True, slots=True)
class Asked:
    """What a door says of a message: its key within its feed, why it is refused (None: it may enter), and why it would
    be if another message had been accepted under that key before (None: that is no reason).
    """

    key: str
    refusal: Refusal | None = None
    reuse: Refusal | None = None


@runtime_checkable
class Asking(Feed, Protocol):
    """A feed whose door can be asked about a message that was set aside, before an operator's retry of it."""

    def ask(self, message: RawMessage, letter: SetAside) -> Asked:
        """Say what the settings of now make of a message: the letter as it came, or a mended copy of it. Never raises.

        MUST refuse what it would refuse if its sender sent it now, and what only the way that it came in spoke against.
        """
        ...


@runtime_checkable
class Sourced(Feed, Protocol):
    """A feed that asks for its messages: when it cannot, nobody else notices."""

    @property
    def failing_since(self) -> datetime | None:
        """Since when its source could not be read; None when the last try was good."""
        ...


@runtime_checkable
class Copying(Feed, Protocol):
    """A feed whose sender can be copied as a whole, for `hawsepipe migrate`."""

    async def copy(self, folder: Path, told: Callable[[int], None]) -> Mapping[str, Any]:
        """Copy what the sender has into files of NDJSON in a folder, and what has changed meanwhile until nothing has;
        go on with a copy that was broken off. Returns the window in which it was copied (JSON values), which is in the
        folder as `.window.json` too. `told` hears how many records there are so far.
        """
        ...


# -- translators -----------------------------------------------------------------------------------------------------


class Translator(Protocol):
    """An opened translator. `translate` MUST be pure: same bytes, same settings, same result; no clock, no I/O."""

    @property
    def media_types(self) -> frozenset[str]:
        """The media types that it reads (`application/hl7-v2`)."""
        ...

    @property
    def rules_digest(self) -> bytes:
        """SHA-256 over the mapping rules in force; another digest means that results may differ."""
        ...

    def translate(self, message: RawMessage) -> Translation:
        """Translate one message. Raises MessageError, and nothing else, when it cannot."""
        ...


@dataclass(frozen=True, slots=True)
class Envelope:
    """What is written on the outside of a message; empty where nothing is. No patient data."""

    type: str
    sender: str
    control: str


@runtime_checkable
class Legible(Translator, Protocol):
    """A translator whose messages can be listed and shown to operators. Neither method raises for any bytes."""

    def envelope(self, message: RawMessage) -> Envelope | None:
        """Return what is written on the outside; None when that cannot be read."""
        ...

    def lines(self, message: RawMessage) -> tuple[str, ...]:
        """Return the message as text, a segment or the like a line, whatever its character set."""
        ...


@runtime_checkable
class Reader(Translator, Protocol):
    """A translator that can be used without a record too, as `hawsepipe translate` does. All MUST be as pure."""

    def read(self, message: RawMessage) -> Translation:
        """Translate as far as it goes; what stands against using the result is an issue at error level.

        Raises MessageError, and nothing else, for what is no message at all.
        """
        ...

    def bundle(self, translation: Translation) -> Resource:
        """Return a transaction Bundle for another server; the same translation MUST give the same Bundle."""
        ...

    def split(self, chunks: Iterable[bytes]) -> Iterator[Piece]:
        """Yield the messages of a file as its chunks come. MUST NOT hold more than one message at a time."""
        ...

    def check(self, message: RawMessage) -> tuple[Issue, ...]:
        """Return what in a message breaks its standard, as issues of cause structure. Raises as `read`."""
        ...

    def value(self, message: RawMessage, location: str) -> str:
        """Return what stands at a location of an issue, for people; empty when nothing does. Raises as `read`."""
        ...

    def coded(self, location: str) -> bool:
        """Whether codes stand at a location, so that a list of codes to map may show them.

        MUST be false for values of results, dates, numbers and free text, whatever a message has there.
        """
        ...


@runtime_checkable
class Advising(Protocol):
    """A translator that has something to say of its settings to whoever runs `hawsepipe config check`."""

    @property
    def advice(self) -> tuple[ConfigError, ...]:
        """What is allowed and probably not meant: the key below the settings, and why."""
        ...


@runtime_checkable
class Converter(Translator, Protocol):
    """A translator of whole resources, which `hawsepipe convert` can use. Both MUST be as pure."""

    def convert(self, message: RawMessage, to: str = "R4") -> Converted:
        """Return the resource or Bundle that a message is, in R4 or another version; what has no place there is an
        issue.

        Raises MessageError, and nothing else, for what is no resource, and when its version cannot be told or `to` is
        none that it can write.
        """
        ...

    def parts(self, chunks: Iterable[bytes]) -> Iterator[Piece]:
        """Yield the resources of a file as its chunks come: one as JSON, or one a line (NDJSON)."""
        ...


# -- ledgers ---------------------------------------------------------------------------------------------------------


class AnchorStatus(StrEnum):
    """What a backend knows of a publication."""

    UNKNOWN = "unknown"
    PENDING = "pending"
    COMMITTED = "committed"
    FINAL = "final"
    INVALID = "invalid"


class LedgerBackend(Protocol):
    """A backend holds tiny, growing checkpoints, one line of them a channel; anything with compare-and-set qualifies.

    A backend MUST store a checkpoint durably before `publish` returns; MUST refuse one that does not grow; MUST keep
    channels apart; MUST answer the same `publish` again with the same handle. It MUST NOT block the event loop.
    A caller MUST NOT read a failure as "not written": it asks `head` before it submits again.
    """

    @property
    def capabilities(self) -> frozenset[str]:
        """Claimed capabilities, from `receipts`, `scan`. One that is not claimed MUST raise Unsupported."""
        ...

    async def head(self, channel: str) -> Checkpoint | None:
        """Return the newest checkpoint that the backend holds, None for an empty channel."""
        ...

    async def publish(self, new: Checkpoint, expected: Checkpoint | None) -> str:
        """Append `new` if the head is `expected` (compared by size and root) and return a handle for it.

        Raises StaleHead, Fork, Pushback, LedgerUnavailable or Rejected.
        """
        ...

    async def status(self, handle: str) -> AnchorStatus:
        """Say how far a publication has come."""
        ...

    async def receipt(self, handle: str) -> Receipt:
        """Return the backend's evidence for a publication. Raises Unsupported or LedgerUnavailable."""
        ...

    def verify_receipt(self, receipt: Receipt, checkpoint: Checkpoint, trust: Mapping[str, Any]) -> None:
        """Check a receipt offline; pure. Raises VerificationError. `trust` is what `trust()` gave."""
        ...

    def trust(self) -> Mapping[str, Any]:
        """Return what a verifier needs to know to check this backend's receipts (public keys; JSON values)."""
        ...

    async def scan(self, channel: str, from_size: int) -> Sequence[Checkpoint]:
        """Return the held checkpoints with a size of at least `from_size`, growing. Raises Unsupported."""
        ...

    async def health(self) -> None:
        """Return if the backend can be used now, else raise LedgerUnavailable."""
        ...


# -- consent rules ---------------------------------------------------------------------------------------------------


class ConsentRule(Protocol):
    """A further rule of the house. It can only narrow: what it gives is joined by AND to everything else.

    It answers with a formula (`hawsepipe.visibility`) and not with decisions, so that stores apply it inside their own
    queries: what it hides leaves no gap in a page or a total.
    """

    def narrow(self, principal: Principal, instant: datetime) -> Formula:
        """Return what this rule leaves to the requester; pure. A failure, or anything else, hides everything."""
        ...


# -- destinations ----------------------------------------------------------------------------------------------------


class Destination(Protocol):
    """An opened destination: where messages go on to, one at a time and in order.

    `deliver` MUST return only when the receiver has the message, MUST NOT keep a queue of its own, and MUST expect the
    same message again: after a crash the last one is repeated.
    """

    @property
    def address(self) -> str:
        """Where it delivers to, for people (`mllp://lab.example:2575`)."""
        ...

    async def deliver(self, message: RawMessage) -> None:
        """Hand over one message. Raises DeliveryRefused when the receiver will not have it, and DeliveryFailed for what
        may pass.
        """
        ...


class Hooks(Protocol):
    """The hooks of the entry-point group `hawsepipe`."""

    @hookspec
    def register_feeds(self) -> Sequence[Kind[Feed]]:
        """Return the kinds of feed that this plugin offers."""
        ...

    @hookspec
    def register_destinations(self) -> Sequence[Kind[Destination]]:
        """Return the kinds of destination that this plugin offers."""
        ...

    @hookspec
    def register_translators(self) -> Sequence[Kind[Translator]]:
        """Return the kinds of translator that this plugin offers."""
        ...

    @hookspec
    def register_ledgers(self) -> Sequence[Kind[LedgerBackend]]:
        """Return the kinds of ledger backend that this plugin offers."""
        ...

    @hookspec
    def register_consent_rules(self) -> Sequence[Kind[ConsentRule]]:
        """Return the kinds of consent rule that this plugin offers."""
        ...
