"""Audits a whole store against its log: every version, every leaf, every checkpoint, and what the ledgers hold.

It believes nothing that the store says of itself. Whatever it meets is a finding with a code, the place in the log and
no patient data; it never stops at one, and never raises for what somebody has written into a row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any, Protocol

import msgspec

from hawsepipe.errors import HawsepipeError, VerificationError
from hawsepipe.fhir.canonical import digests
from hawsepipe.hooks import LedgerBackend
from hawsepipe.ledger import merkle, note, statemap
from hawsepipe.ledger.commitment import commitment, state_opening
from hawsepipe.ledger.evidence import LogKey
from hawsepipe.ledger.log import Log
from hawsepipe.model import Checkpoint
from hawsepipe.store.auditing import Audited, Logged
from hawsepipe.store.sequencing import StateLeaf, place_of

_PAGE = 500
_MESSAGES = 20  # at a time: they may be large
_MOST = 10_000  # findings that are kept; the rest is counted
_LATE = 3600.0  # seconds after which what is not in the log is a finding


class Auditable(Audited, Log, Protocol):
    """A store as the audit reads it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it must be. `place` is the outbox's, the journal's or the log's, by `where`."""

    code: str
    where: str
    place: int
    reason: str

    def __str__(self) -> str:
        return f"{self.code:<22} {self.where} {self.place}: {self.reason}"


@dataclass(slots=True)
class Report:
    """What an audit came to."""

    versions: int = 0
    leaves: int = 0
    checkpoints: int = 0
    messages: int = 0
    receipts: int = 0
    findings: list[Finding] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, code: str, where: str, place: int, reason: str) -> None:
        """Take note of a finding."""
        self.counts[code] += 1
        if len(self.findings) < _MOST:
            self.findings.append(Finding(code, where, place, reason))

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not self.counts


class Audit:
    """One audit. `keys` are those that may have signed, `quorum` how many ledgers must vouch for the newest checkpoint
    that has a receipt; `seen` is a checkpoint that somebody has kept elsewhere; `known` are commitments of no version
    whose openings were checked (rotations of the log's key).
    """

    def __init__(
        self,
        store: Auditable,
        channel: str,
        keys: Sequence[LogKey],
        backends: Mapping[str, LedgerBackend],
        *,
        quorum: int = 1,
        seen: Checkpoint | None = None,
        known: Collection[bytes] = (),
        now: datetime | None = None,
        progress: Callable[[int], None] = lambda done: None,
    ) -> None:
        self._store, self._channel, self._keys, self._backends = store, channel, keys, backends
        self._quorum, self._seen, self._now, self._progress = quorum, seen, now, progress
        self._known = frozenset(known)
        self._report = Report()
        self._frontier = merkle.Frontier()
        self._roots: dict[int, bytes] = {}
        self._latest: dict[bytes, tuple[bytes, int, bool]] = {}
        self._indices: dict[bytes, int] = {}  # of Provenances, by commitment
        self._previous: dict[tuple[Any, Any], str] = {}
        self._recorded = ""

    async def run(self) -> Report:
        """Audit everything. Raises StoreError when the store cannot be read at all."""
        head = await self._store.checkpoint(self._channel)
        await self._log(head.size if head is not None else 0)
        await self._checkpoints(head)
        await self._state(head)
        await self._journal()
        for _ in range(min(await self._store.leafless(), _PAGE)):
            self._report.add("LEAF_MISSING", "store", 0, "a version has no leaf")
        for name, backend in self._backends.items():
            await self._ledger(name, backend, head)
        return self._report

    async def _log(self, size: int) -> None:
        states = {upto: (at, leaf) for at, upto, leaf in [it async for it in self._states()]}
        wanted = {at.size async for at in self._signed()}
        expected, after = 1, 0
        while page := await self._store.logged(after, _PAGE):
            for row in page:
                while expected < row.sequence:
                    self._report.add("LEAF_MISSING", "outbox", expected, "a place is empty")
                    self._grow(b"", wanted)
                    expected += 1
                if self._frontier.size < size:
                    self._grow(row.leaf, wanted)
                    self._version(row)
                elif self._late(row):
                    self._report.add("UNANCHORED_TOO_OLD", "outbox", row.sequence, "it is not in the log")
                sealed = states.get(row.sequence)
                if sealed is not None:
                    self._sealed(*sealed, wanted)
                expected = row.sequence + 1
            after = page[-1].sequence
            self._report.versions += len(page)
            self._progress(self._report.versions)
        if self._frontier.size < size:
            self._report.add("LEAF_MISSING", "log", self._frontier.size, "leaves at the end are missing")

    def _grow(self, leaf: Any, wanted: set[int]) -> None:
        self._frontier.append(merkle.leaf_hash(leaf if isinstance(leaf, bytes) else b""))
        self._report.leaves += 1
        if self._frontier.size in wanted:
            self._roots[self._frontier.size] = self._frontier.root()

    def _sealed(self, size: int, leaf: StateLeaf, wanted: set[int]) -> None:
        place = self._frontier.size
        self._grow(leaf.commitment, wanted)
        try:
            opened = commitment(leaf.salt, leaf.opening) == leaf.commitment
            told = leaf.opening == state_opening(self._channel, place + 1, leaf.root)
        except (TypeError, AttributeError):
            opened = told = False
        if not opened:
            self._report.add("LEAF_MISMATCH", "log", place, "salt and opening do not open the state leaf")
        elif not told or size != place + 1:
            self._report.add("STATE_INVALID", "log", place, "the state leaf says another size or map")

    def _version(self, row: Logged) -> None:
        if isinstance(row.type, str) and isinstance(row.id, str) and isinstance(row.leaf, bytes):
            place = place_of(row.type, row.id)
            self._latest[place] = (row.leaf, row.sequence, row.current or row.version is None)
        for code, reason in self._wrong(row):
            self._report.add(code, "outbox", row.sequence, reason)

    def _wrong(self, row: Logged) -> Iterator[tuple[str, str]]:
        if row.version is None and row.leaf in self._known:
            return
        if row.version is None:
            yield "MISSING_OPENING", "there is no version for the leaf"
            return
        if row.salt is None or row.opening is None:
            yield "MISSING_OPENING", "there is no opening with its salt"
            return
        try:
            opening: Any = msgspec.json.decode(row.opening)
            opened = commitment(row.salt, row.opening)
        except (msgspec.MsgspecError, TypeError, UnicodeError):
            yield "LEAF_MISMATCH", "the opening cannot be read"
            return
        if row.commitment != row.leaf or opened != row.leaf or not isinstance(opening, dict):
            yield "LEAF_MISMATCH", "salt and opening do not open the leaf"
            return
        yield from self._content(row, opening)
        yield from self._binding(row, opening)
        yield from self._order(row, opening)

    def _content(self, row: Logged, opening: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        if row.content is None:
            if "versionHash" in opening:
                yield "CONTENT_MISMATCH", "there is no content"
            return
        try:
            whole, still = digests(row.content)
        except HawsepipeError as error:
            yield ("DUPLICATE_KEY" if "twice" in str(error) else "CONTENT_MISMATCH"), "it has no canonical form"
            return
        except (TypeError, ValueError, RecursionError):
            yield "CONTENT_MISMATCH", "it is no JSON"
            return
        if (whole.hex(), still.hex()) != (opening.get("versionHash"), opening.get("staticHash")):
            yield "CONTENT_MISMATCH", "it is not what was committed to"

    def _binding(self, row: Logged, opening: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        told = tuple(opening.get(key) for key in ("channel", "type", "id", "version", "operation"))
        patients = sorted(row.patients.split()) if isinstance(row.patients, str) else None
        if told != (self._channel, row.type, row.id, row.version, row.operation) or patients != opening.get("patients"):
            yield "BINDING_MISMATCH", "the row says another resource, version, operation or patient"

    def _order(self, row: Logged, opening: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        name = (opening.get("type"), opening.get("id"))
        if opening.get("previous") != self._previous.get(name):
            yield "ORDER_VIOLATION", "it does not rest on the version before"
        self._previous[name] = row.leaf.hex()
        recorded = opening.get("recorded")
        if not isinstance(recorded, str) or recorded < self._recorded:
            yield "TIME_OUT_OF_BRACKET", "it was recorded before what was logged before it"
        else:
            self._recorded = recorded
        if opening.get("kind") == "provenance":
            self._indices[row.leaf] = row.sequence
        named = opening.get("provenance")
        if isinstance(named, str) and bytes.fromhex(named) not in self._indices:
            yield "DEPENDENCY_MISSING", "the Provenance that it names is not in the log before it"

    def _late(self, row: Logged) -> bool:
        if self._now is None or row.opening is None:
            return False
        try:
            recorded = datetime.fromisoformat(msgspec.json.decode(row.opening)["recorded"])
        except (msgspec.MsgspecError, KeyError, TypeError, ValueError):
            return True
        return (self._now - recorded).total_seconds() > _LATE

    async def _checkpoints(self, head: Checkpoint | None) -> None:
        async for checkpoint in self._signed():
            self._report.checkpoints += 1
            place = checkpoint.size
            code = self._signature(checkpoint)
            if code:
                self._report.add(code, "checkpoint", place, "no key of the log at this size has signed it")
            if self._roots.get(place) != checkpoint.root:
                self._report.add("ROOT_MISMATCH", "checkpoint", place, "the leaves give another root than was signed")
        seen = self._seen
        if seen is None:
            return
        if head is None or head.size < seen.size:
            self._report.add("SIZE_REGRESSION", "log", 0 if head is None else head.size, f"it had {seen.size} leaves")
        elif await self.root_at(seen.size) != seen.root:
            self._report.add("FORK", "log", seen.size, "it is another log than the one that was seen")

    def _signature(self, checkpoint: Checkpoint) -> str:
        """Return the code of what is wrong with a checkpoint's signature, empty if nothing is."""
        code = "SIGNATURE_INVALID"
        for key in self._keys:
            try:
                note.verify_log_signature(checkpoint, key.vkey)
            except VerificationError as error:
                code = error.finding if error.finding == "CHECKPOINT_INVALID" else code
            except (TypeError, AttributeError, UnicodeError):
                return "CHECKPOINT_INVALID"
            else:
                if key.from_size <= checkpoint.size and (key.to_size is None or checkpoint.size <= key.to_size):
                    return ""
                code = "KEY_NOT_VALID_AT_SIZE"
        return code

    async def root_at(self, size: int) -> bytes | None:
        """Return the root that the store's nodes give at a size, None when some are missing."""
        try:
            return merkle.root_of(size, await self._store.nodes(merkle.peaks(size)))
        except KeyError:
            return None

    async def _state(self, head: Checkpoint | None) -> None:
        for _, sequence, current in self._latest.values():
            if not current:
                self._report.add("STALE_VERSION", "outbox", sequence, "it is the latest, and another one is served")
        leaf = await self._store.state_leaf(head.size) if head is not None else None
        if leaf is None:
            return
        root, _ = statemap.grown({}, {place: value for place, (value, _, _) in self._latest.items()})
        if root != leaf.root:
            self._report.add(
                "STATE_INVALID", "log", head.size if head else 0, "the sealed map is not of these versions"
            )

    async def _journal(self) -> None:
        after = 0
        while page := await self._store.journalled(after, _MESSAGES):
            for raw in page:
                if not isinstance(raw.body, bytes) or sha256(raw.body).digest() != raw.digest:
                    self._report.add("SOURCE_MISMATCH", "message", raw.sequence, "its bytes are not those that came")
            after = page[-1].sequence
            self._report.messages += len(page)

    async def _ledger(self, name: str, backend: LedgerBackend, head: Checkpoint | None) -> None:
        held = await backend.head(self._channel)
        if held is not None:
            if head is None or held.size > head.size:
                self._report.add("SIZE_REGRESSION", f"ledger {name}", held.size, "it holds more than the log has")
            elif await self.root_at(held.size) != held.root:
                self._report.add("FORK", f"ledger {name}", held.size, "it holds another root")
        receipted = await self._store.checkpoint(self._channel, name)
        if receipted is None or "receipts" not in backend.capabilities:
            return
        self._report.receipts += 1
        receipts = {receipt.backend: receipt for receipt in await self._store.receipts(self._channel, receipted.size)}
        try:
            backend.verify_receipt(receipts[name], receipted, backend.trust())
        except Exception:
            # Whatever somebody has written into the row.
            self._report.add(
                "QUORUM_NOT_MET", f"ledger {name}", receipted.size, "its receipt is not for the checkpoint"
            )

    async def _states(self) -> Any:
        after = 0
        while page := await self._store.state_leaves(after, _PAGE):
            for item in page:
                yield item
            after = page[-1][0]

    async def _signed(self) -> Any:
        after = 0
        while page := await self._store.checkpoints(self._channel, after, _PAGE):
            for item in page:
                yield item
            after = page[-1].size
