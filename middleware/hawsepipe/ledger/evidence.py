"""Evidence of a version, and the trust document that it is verified against.

Both are JSON objects, described in `hawsepipe_schemas` (evidence.schema.json, trust.schema.json) and read by
`ledger.verify`. Evidence opens exactly one version: of its Provenance it shows the place in the log, and what it
says only if the caller, who may see it, hands it over.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import structlog

from hawsepipe.errors import HawsepipeError, NotInLog, Tampered, VerificationError
from hawsepipe.hooks import LedgerBackend
from hawsepipe.ledger import merkle, note
from hawsepipe.ledger.chart import ways
from hawsepipe.ledger.commitment import commitment
from hawsepipe.ledger.log import Log
from hawsepipe.ledger.statemap import EMPTY
from hawsepipe.model import Checkpoint, Receipt, Version
from hawsepipe.store.sequencing import place_of

_log = structlog.get_logger("hawsepipe.ledger")

EVIDENCE_FORMAT = "hawsepipe/evidence/v1"
ABSENCE_FORMAT = "hawsepipe/absence/v1"
TRUST_FORMAT = "hawsepipe/trust/v1"


@dataclass(frozen=True, slots=True)
class LogKey:
    """A log key (C2SP vkey) and the sizes, both ends included, at which it was the log's. `to_size` None: until now."""

    vkey: str
    from_size: int = 1
    to_size: int | None = None


class Evidence:
    """Makes evidence from a store. `backends` are the names of the configured ledgers."""

    def __init__(self, store: Log, channel: str, backends: Iterable[str]) -> None:
        self._store = store
        self._channel = channel
        self._backends = tuple(backends)

    async def of(
        self, version: Version, provenance: Version | None = None, *, state: bool = False, seen: int | None = None
    ) -> dict[str, Any]:
        """Return the evidence of a version as JSON values.

        `provenance` is the Provenance of the transaction that made it, for a reader who may see it: its opening then
        goes along. Of several checkpoints the one with the most receipts is taken; without any receipt, the
        smallest. With `state` it is the newest of them, and the way through the current-state map goes along, which
        says whether the version is the latest: who may choose ids can learn from its length whether an id is in use,
        so it is for readers from whom nothing is hidden. `seen` is a size of the log that the reader has seen, and to
        which a proof is added that the log has only grown since. Content is handed over as it is stored, for the
        verifier to judge. Raises NotInLog; Tampered when the stored rows allow no evidence, which is logged;
        StoreError.
        """
        return await self._guarded(self._of(version, provenance, state, seen), version)

    async def absent(self, type: str, id: str) -> dict[str, Any]:
        """Return evidence that there never was such a resource, as of the newest checkpoint with the most receipts.

        It says otherwise when there is one, even a deleted one: it is for readers from whom nothing is hidden. Raises
        as `of`.
        """
        return await self._guarded(self._absent(type, id), None)

    async def _guarded(self, making: Awaitable[dict[str, Any]], version: Version | None) -> dict[str, Any]:
        try:
            return await making
        except Tampered as error:
            self._alarm(version, error.finding, error)
            raise
        except HawsepipeError:
            raise
        except Exception as error:
            # Whatever somebody has written into a row: it is an alarm like the others, not a crash.
            self._alarm(version, "MALFORMED", error)
            raise Tampered("MALFORMED", "what is stored of the version cannot be understood") from error

    def _alarm(self, version: Version | None, finding: str, error: Exception) -> None:
        _log.critical(
            "what is stored does not fit the log",
            channel=self._channel,
            finding=finding,
            error=type(error).__name__,
            commitment=version.commitment.hex() if version is not None else "",
        )

    async def _of(self, version: Version, provenance: Version | None, state: bool, seen: int | None) -> dict[str, Any]:
        if version.salt is None or version.opening is None:
            raise Tampered("MISSING_OPENING", "there is no opening with its salt")
        if commitment(version.salt, version.opening) != version.commitment:
            raise Tampered("LEAF_MISMATCH", "salt and opening do not open the version's commitment")
        index = await self._index(version.commitment)
        checkpoint, receipts = await self._checkpoint(index, newest=state)
        size = checkpoint.size
        named = msgspec.json.decode(version.opening).get("provenance")
        places = [(version.commitment, index)]
        if named is not None:
            before = await self._store.leaf_index(bytes.fromhex(named))
            if before is None:
                raise Tampered("DEPENDENCY_MISSING", "the Provenance that the opening names is not in the log")
            places.append((bytes.fromhex(named), before))
        spans = [merkle.inclusion_spans(place, size) for _, place in places]
        spans += [merkle.consistency_spans(seen, size)] if seen is not None and 0 < seen < size else []
        nodes = await self._store.nodes(
            tuple({*merkle.peaks(size), *(node for each in spans for node in merkle.needed(each))})
        )
        try:
            paths = [merkle.proof(each, nodes) for each in spans]
            proofs = [_leaf(*place, path) for place, path in zip(places, paths, strict=False)]
            root = merkle.root_of(size, nodes)
        except KeyError as error:
            raise Tampered("LEAF_MISSING", "nodes of the log are missing") from error
        document: dict[str, Any] = {
            "format": EVIDENCE_FORMAT,
            "type": version.type,
            "id": version.id,
            "version": version.version,
            **_opened(version),
            **proofs[0],
            "rootHash": root.hex(),
            "checkpoint": checkpoint.note.decode(),
            "receipts": [_receipt(receipt) for receipt in receipts],
            "dependencies": [],
        }
        if named is not None:
            shown = provenance is not None and provenance.commitment.hex() == named and provenance.salt is not None
            opened = _opened(provenance) if shown and provenance is not None else {}
            document["dependencies"].append({"role": "provenance", **opened, **proofs[1]})
        if len(paths) > len(places):
            document["consistency"] = [value.hex() for value in paths[-1]]
        if state:
            document["state"] = await self._state(version.type, version.id, size)
        return document

    async def _absent(self, type: str, id: str) -> dict[str, Any]:
        checkpoint, receipts = await self._checkpoint(0, newest=True)
        nodes = await self._store.nodes(merkle.peaks(checkpoint.size))
        try:
            root = merkle.root_of(checkpoint.size, nodes)
        except KeyError as error:
            raise Tampered("LEAF_MISSING", "nodes of the log are missing") from error
        return {
            "format": ABSENCE_FORMAT,
            "type": type,
            "id": id,
            "rootHash": root.hex(),
            "checkpoint": checkpoint.note.decode(),
            "receipts": [_receipt(receipt) for receipt in receipts],
            "state": await self._state(type, id, checkpoint.size),
        }

    async def _state(self, type: str, id: str, size: int) -> dict[str, Any]:
        """Return the way to a resource's place in the map that the log of this size seals."""
        leaf = await self._store.state_leaf(size)
        if leaf is None:
            raise NotInLog  # the log has none yet: it is of an older store, and the next batch brings it
        place = place_of(type, id)
        try:
            way = ways(await self._store.pages((place,), size), place, leaf.root)
        except VerificationError as error:
            raise Tampered(error.finding, error.reason) from error
        spans = merkle.inclusion_spans(size - 1, size)
        proven = _leaf(leaf.commitment, size - 1, merkle.proof(spans, await self._store.nodes(merkle.needed(spans))))
        del proven["leafIndex"]  # it is the last one
        return {
            "opening": leaf.opening.decode(),
            "salt": leaf.salt.hex(),
            **proven,
            "levels": "".join("0" if value == EMPTY else "1" for value in way.siblings),
            "siblings": b64encode(b"".join(value for value in way.siblings if value != EMPTY)).decode(),
            "end": None if way.end is None else {"place": way.end[0].hex(), "value": way.end[1].hex()},
        }

    async def _index(self, leaf: bytes) -> int:
        index = await self._store.leaf_index(leaf)
        if index is None:
            if await self._store.in_outbox(leaf):
                raise NotInLog
            # It may have left the outbox between the two questions.
            index = await self._store.leaf_index(leaf)
        if index is None:
            raise Tampered("LEAF_MISSING", "the commitment is neither in the log nor on its way there")
        return index

    async def _checkpoint(self, index: int, *, newest: bool) -> tuple[Checkpoint, Sequence[Receipt]]:
        best: tuple[Checkpoint, Sequence[Receipt]] | None = None
        for backend in (*self._backends, None):
            if newest:
                checkpoint = await self._store.checkpoint(self._channel, backend)
            else:
                checkpoint = await self._store.checkpoint_covering(self._channel, index, backend)
            if checkpoint is None or checkpoint.size <= index:
                continue
            receipts = await self._store.receipts(self._channel, checkpoint.size)
            if best is None or len(receipts) > len(best[1]):
                best = (checkpoint, receipts)
        if best is None:
            raise Tampered("CHECKPOINT_INVALID", "no checkpoint covers the leaf")
        try:
            note.checked_text(best[0])
        except VerificationError as error:
            raise Tampered(error.finding, error.reason) from error
        return best


def trust_document(
    channel: str, log_keys: Sequence[LogKey], backends: Mapping[str, LedgerBackend], quorum: int = 1
) -> dict[str, Any]:
    """Return what a verifier needs to know, as JSON values: public keys only. Not to travel with evidence."""
    return {
        "format": TRUST_FORMAT,
        "channel": channel,
        "log": [{"vkey": key.vkey, "fromSize": key.from_size, "toSize": key.to_size} for key in log_keys],
        "backends": {name: dict(backend.trust()) for name, backend in backends.items()},
        "quorum": quorum,
    }


def encoded(document: Mapping[str, Any]) -> bytes:
    """Return evidence or a trust document as JSON, the form that `ledger.verify` reads."""
    return msgspec.json.encode(document)


def _opened(version: Version) -> dict[str, Any]:
    opened: dict[str, Any] = {}
    if version.content is not None:
        opened["content"] = version.content.decode()
    if version.opening is not None and version.salt is not None:
        opened |= {"opening": version.opening.decode(), "salt": version.salt.hex()}
    return opened


def _leaf(commitment: bytes, index: int, path: Sequence[bytes]) -> dict[str, Any]:
    return {
        "commitment": commitment.hex(),
        "leafIndex": index,
        "inclusionProof": [value.hex() for value in path],
    }


def _receipt(receipt: Receipt) -> dict[str, Any]:
    return {
        "backend": receipt.backend,
        "channel": receipt.channel,
        "size": receipt.size,
        "root": receipt.root.hex(),
        "position": receipt.position,
        "proof": dict(receipt.proof),
    }
