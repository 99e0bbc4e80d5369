"""The backend: what `LedgerBackend` asks, on a contract.

A checkpoint is anchored once the contract's threshold of anchors have signed it, and final once enough blocks follow:
until then its status is PENDING, and a reorganised chain makes it UNKNOWN again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from eth_account.signers.local import LocalAccount

from hawsepipe import AnchorStatus, Checkpoint, Fork, LedgerUnavailable, Receipt, Rejected, StaleHead
from hawsepipe_ledger_evm import statements
from hawsepipe_ledger_evm.chain import Chain, Entry, Refused, Terms

_HANDLE = re.compile(r"([1-9][0-9]{0,18})/([0-9a-f]{64})/([0-9a-f]{64})/(.+)", re.DOTALL)
_LARGEST_SIZE = 2**63 - 1
_LARGEST_NOTE = 8192
_ROUNDS = 5


class EvmLedger:
    """One opened ledger; keeps the contract of `hawsepipe.LedgerBackend`.

    `anchors` gives the public key (compressed, hex) of each address; `keys` are the anchors that sign here;
    `confirmations` is how many blocks, its own counted, make a checkpoint final.
    """

    def __init__(
        self,
        name: str,
        chain: Chain,
        terms: Terms,
        anchors: Mapping[str, str],
        keys: Sequence[LocalAccount],
        *,
        confirmations: int,
    ) -> None:
        self._name = name
        self._chain = chain
        self._terms = terms
        self._anchors = anchors
        self._keys = tuple(keys)
        self._confirmations = confirmations

    @property
    def capabilities(self) -> frozenset[str]:
        """It gives receipts and can be scanned."""
        return frozenset({"receipts", "scan"})

    async def head(self, channel: str) -> Checkpoint | None:
        """Return the newest anchored checkpoint."""
        place = await self._chain.head(channel)
        if place is None:
            return None
        return await self._checkpoint(channel, place[0])

    async def publish(self, new: Checkpoint, expected: Checkpoint | None) -> str:
        """Sign a checkpoint with the keys that are here, and return its handle once that is in a block."""
        if not 0 < new.size <= _LARGEST_SIZE or len(new.root) != 32 or len(new.note) > _LARGEST_NOTE:
            raise Rejected("this is not a checkpoint")
        for _ in range(_ROUNDS):
            if await self._is_told(new, expected):
                break
            try:
                before = None if expected is None else (expected.size, expected.root)
                await self._chain.publish(new, before, self._keys)
                break
            except Refused:
                continue  # somebody else was faster: the next look says with what
        else:
            raise LedgerUnavailable("the contract refuses what its state allows")
        signed = statements.statement(self._terms.chain, self._terms.contract, new)
        return f"{new.size}/{new.root.hex()}/{signed.hex()}/{new.channel}"

    async def status(self, handle: str) -> AnchorStatus:
        """PENDING while signatures or blocks are missing, then FINAL; UNKNOWN for what is on no chain (any more)."""
        match = _HANDLE.fullmatch(handle)
        if match is None or int(match[1]) > _LARGEST_SIZE:
            return AnchorStatus.UNKNOWN
        entry = await self._chain.entry(match[4], int(match[1]))
        if entry is not None:
            if entry.root.hex() != match[2] or entry.statement.hex() != match[3]:
                return AnchorStatus.INVALID if entry.root.hex() != match[2] else AnchorStatus.UNKNOWN
            return AnchorStatus.FINAL if await self._is_final(entry) else AnchorStatus.PENDING
        proposed = await self._chain.is_proposed(
            bytes.fromhex(match[3]), match[4], int(match[1]), bytes.fromhex(match[2])
        )
        return AnchorStatus.PENDING if proposed else AnchorStatus.UNKNOWN

    async def receipt(self, handle: str) -> Receipt:
        """Return the anchors' signatures; `position` is `chain/block`, which says where to look and proves nothing."""
        match = _HANDLE.fullmatch(handle)
        entry = await self._chain.entry(match[4], int(match[1])) if match is not None else None
        if match is None or entry is None or (entry.root.hex(), entry.statement.hex()) != (match[2], match[3]):
            raise LedgerUnavailable("the chain holds no such checkpoint")
        if not await self._is_final(entry):
            raise LedgerUnavailable("the checkpoint is not final yet")
        found = await self._chain.signatures(entry.statement)
        signatures = {
            self._anchors[address]: given[:64] for address, given in found.items() if address in self._anchors
        }
        position = f"{self._terms.chain}/{entry.block}"
        proof = statements.proof(self._terms.chain, self._terms.contract, signatures)
        return Receipt(self._name, match[4], int(match[1]), entry.root, position, proof)

    def verify_receipt(self, receipt: Receipt, checkpoint: Checkpoint, trust: Mapping[str, Any]) -> None:
        """Check that enough anchors of the trust document signed this checkpoint. Raises VerificationError."""
        statements.verify(receipt, checkpoint, trust)

    def trust(self) -> Mapping[str, Any]:
        """Return the chain, the contract, the anchors' public keys and how many of them must have signed."""
        return {
            "type": statements.TRUST_TYPE,
            "chainId": self._terms.chain,
            "contract": self._terms.contract,
            "anchors": sorted(self._anchors.values()),
            "threshold": self._terms.threshold,
        }

    async def scan(self, channel: str, from_size: int) -> Sequence[Checkpoint]:
        """Return the anchored checkpoints, growing: the line is walked backwards."""
        found: list[Checkpoint] = []
        place = await self._chain.head(channel)
        size = place[0] if place is not None else 0
        while size >= max(from_size, 1):
            entry = await self._chain.entry(channel, size)
            if entry is None:
                raise LedgerUnavailable("the chain was reorganised while it was read")
            found.append(Checkpoint(channel, size, entry.root, await self._chain.note(entry, channel)))
            size = entry.previous
        return tuple(reversed(found))

    async def health(self) -> None:
        """Return if the node answers and the contract is the configured one."""
        await self._chain.block()

    async def proposed(self, channel: str) -> Checkpoint | None:
        """Return what was proposed last in a channel and waits for signatures still. Raises LedgerUnavailable."""
        return await self._chain.proposed(channel)

    async def _is_told(self, new: Checkpoint, expected: Checkpoint | None) -> bool:
        """Say whether there is nothing left to send. Raises Fork, StaleHead, Rejected."""
        # The head first: what comes between the two looks is seen by the second, and may be this very checkpoint.
        place = await self._chain.head(new.channel)
        held = await self._chain.entry(new.channel, new.size)
        if held is not None:
            if held.root != new.root:
                raise Fork((new.size, held.root))
            return True
        if place != (None if expected is None else (expected.size, expected.root)):
            raise StaleHead(place)
        if new.size <= (place[0] if place is not None else 0):
            raise Rejected("a checkpoint must be larger than the head")
        signed = statements.statement(self._terms.chain, self._terms.contract, new)
        if not await self._chain.is_proposed(signed, new.channel, new.size, new.root):
            return False
        done = await self._chain.signatures(signed)
        return all(key.address.lower() in done for key in self._keys)

    async def _is_final(self, entry: Entry) -> bool:
        return await self._chain.block() - entry.block + 1 >= self._confirmations

    async def _checkpoint(self, channel: str, size: int) -> Checkpoint:
        entry = await self._chain.entry(channel, size)
        if entry is None:
            raise LedgerUnavailable("the chain was reorganised while it was read")
        return Checkpoint(channel, size, entry.root, await self._chain.note(entry, channel))
