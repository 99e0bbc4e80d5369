"""Evidence of a version, and the trust document that it is verified against.

Both are JSON objects, described in `hawsepipe_schemas` (evidence.schema.json, trust.schema.json) and read by
`ledger.verify`. Evidence opens exactly one version: of its Provenance it shows the place in the log, and what it
says only if the caller, who may see it, hands it over.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from hawsepipe.errors import Erased, NotInLog
from hawsepipe.hooks import LedgerBackend
from hawsepipe.ledger import merkle
from hawsepipe.ledger.log import Log
from hawsepipe.model import Checkpoint, Receipt, Version

EVIDENCE_FORMAT = "hawsepipe/evidence/v1"
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

    async def of(self, version: Version, provenance: Version | None = None) -> dict[str, Any]:
        """Return the evidence of a version as JSON values.

        `provenance` is the Provenance of the transaction that made it, for a reader who may see it: its opening then
        goes along. Of several checkpoints the one with the most receipts is taken; without any receipt, the
        smallest. Raises NotInLog, Erased.
        """
        if version.salt is None or version.opening is None:
            raise Erased("the version was erased: its commitment cannot be opened any more")
        index = await self._index(version.commitment)
        checkpoint, receipts = await self._checkpoint(index)
        size = checkpoint.size
        named = msgspec.json.decode(version.opening).get("provenance")
        places = [(version.commitment, index)]
        if named is not None:
            places.append((bytes.fromhex(named), await self._index(bytes.fromhex(named))))
        spans = [merkle.inclusion_spans(place, size) for _, place in places]
        nodes = await self._store.nodes(
            tuple({*merkle.peaks(size), *(node for each in spans for node in merkle.needed(each))})
        )
        proofs = [_leaf(*place, merkle.proof(each, nodes)) for place, each in zip(places, spans, strict=True)]
        document: dict[str, Any] = {
            "format": EVIDENCE_FORMAT,
            "type": version.type,
            "id": version.id,
            "version": version.version,
            **_opened(version),
            **proofs[0],
            "rootHash": merkle.root_of(size, nodes).hex(),
            "checkpoint": checkpoint.note.decode(),
            "receipts": [_receipt(receipt) for receipt in receipts],
            "dependencies": [],
        }
        if named is not None:
            shown = provenance is not None and provenance.commitment.hex() == named and provenance.salt is not None
            opened = _opened(provenance) if shown and provenance is not None else {}
            document["dependencies"].append({"role": "provenance", **opened, **proofs[1]})
        return document

    async def _index(self, commitment: bytes) -> int:
        index = await self._store.leaf_index(commitment)
        if index is None:
            raise NotInLog
        return index

    async def _checkpoint(self, index: int) -> tuple[Checkpoint, Sequence[Receipt]]:
        best: tuple[Checkpoint, Sequence[Receipt]] | None = None
        for backend in (*self._backends, None):
            checkpoint = await self._store.checkpoint_covering(self._channel, index, backend)
            if checkpoint is None:
                continue
            receipts = await self._store.receipts(self._channel, checkpoint.size)
            if best is None or len(receipts) > len(best[1]):
                best = (checkpoint, receipts)
        if best is None:
            raise NotInLog
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
