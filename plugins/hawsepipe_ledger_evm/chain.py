"""The contract on its chain, by JSON-RPC: the only module that knows web3. The contract is `checkpoints.vy`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple, cast

import aiohttp
from eth_account import Account
from eth_account.signers.local import LocalAccount
from web3 import AsyncHTTPProvider, AsyncWeb3
from web3.contract import AsyncContract
from web3.exceptions import ContractLogicError, TimeExhausted, Web3Exception
from web3.middleware import ExtraDataToPOAMiddleware
from web3.types import TxParams, Wei

from hawsepipe import Checkpoint, LedgerUnavailable, Rejected
from hawsepipe_ledger_evm.statements import channel_hash, statement

_NOBODY = bytes(32)
_POLL = 0.2


class Entry(NamedTuple):
    """A checkpoint's place in a channel's line. `previous` is the size before it, `block` where it was anchored."""

    root: bytes
    statement: bytes
    previous: int
    block: int


class Terms(NamedTuple):
    """What the configuration says of the contract: it is compared with the contract before anything is signed."""

    chain: int
    contract: str
    anchors: frozenset[str]
    threshold: int


class Refused(Exception):
    """The contract would not have it: its state is not what was read. Read again."""


@cache
def artifact() -> Mapping[str, Any]:
    """Return the compiled contract: `abi`, `bytecode`, `compiler`."""
    found: Mapping[str, Any] = json.loads((files(__package__) / "checkpoints.json").read_text(encoding="utf-8"))
    return found


class Chain:
    """One contract. Every method may raise LedgerUnavailable; then a transaction may have been sent or not.

    `payer` sends the transactions, `gas_price` is in wei (None: what the node suggests), `timeout` in seconds.
    """

    def __init__(self, url: str, terms: Terms, payer: LocalAccount, *, gas_price: int | None, timeout: float) -> None:
        self._provider = AsyncHTTPProvider(url, request_kwargs={"timeout": aiohttp.ClientTimeout(total=timeout)})
        self._web3 = AsyncWeb3(self._provider)
        # Proof-of-authority chains put more into a block's extra data than others allow.
        self._web3.middleware_onion.inject(ExtraDataToPOAMiddleware, layer=0)
        self._contract: AsyncContract = self._web3.eth.contract(
            address=self._web3.to_checksum_address(terms.contract), abi=artifact()["abi"]
        )
        self._terms = terms
        self._payer = payer
        self._gas_price = gas_price
        self._timeout = timeout
        self._sending = asyncio.Lock()  # one transaction of an account after the other
        self._agreed = False
        self._closed = False

    async def close(self) -> None:
        """Let go of the connections."""
        self._closed = True
        await self._provider.disconnect()

    async def head(self, channel: str) -> tuple[int, bytes] | None:
        """Return the newest anchored size and root."""
        async with self._ready():
            size, root = await self._contract.functions.heads(channel_hash(channel)).call()
        return (int(size), bytes(root)) if size else None

    async def entry(self, channel: str, size: int) -> Entry | None:
        """Return what the line holds at a size."""
        async with self._ready():
            root, signed, previous, block = await self._contract.functions.line(channel_hash(channel), size).call()
        return Entry(bytes(root), bytes(signed), int(previous), int(block)) if bytes(root) != _NOBODY else None

    async def note(self, entry: Entry, channel: str) -> bytes:
        """Return the signed note that an entry was anchored with."""
        async with self._ready():
            logs = await self._contract.events.Anchored().get_logs(
                from_block=entry.block,
                to_block=entry.block,
                argument_filters={"channel": channel_hash(channel), "statement": entry.statement},
            )
        if not logs:
            raise LedgerUnavailable("the node does not give the checkpoint's event; it may have been pruned")
        return bytes(logs[0]["args"]["note"])

    async def signatures(self, signed: bytes) -> Mapping[str, bytes]:
        """Return the signatures (65 bytes) on a statement by the anchor's address, in lower case."""
        async with self._ready():
            block = (await self._contract.functions.proposals(signed).call())[3]
            if not block:
                return {}
            logs = await self._contract.events.Signed().get_logs(
                from_block=block, argument_filters={"statement": signed}
            )
        return {str(log["args"]["anchor"]).lower(): bytes(log["args"]["signature"]) for log in logs}

    async def is_proposed(self, signed: bytes, channel: str, size: int, root: bytes) -> bool:
        """Say whether a statement, of this checkpoint, has a signature already."""
        async with self._ready():
            found = await self._contract.functions.proposals(signed).call()
        return bool(found[3]) and (bytes(found[0]), found[1], bytes(found[2])) == (channel_hash(channel), size, root)

    async def proposed(self, channel: str) -> Checkpoint | None:
        """Return what was proposed last in a channel, if it waits for signatures still."""
        async with self._ready():
            key = channel_hash(channel)
            signed = bytes(await self._contract.functions.waiting(key).call())
            _, size, root, block = await self._contract.functions.proposals(signed).call()
            if not block or size <= (await self._contract.functions.heads(key).call())[0]:
                return None
            logs = await self._contract.events.Proposed().get_logs(
                from_block=block, to_block=block, argument_filters={"channel": key, "statement": signed}
            )
        if not logs:
            raise LedgerUnavailable("the node does not give the proposal's event; it may have been pruned")
        return Checkpoint(channel, int(size), bytes(root), bytes(logs[0]["args"]["note"]))

    async def block(self) -> int:
        """Return the number of the newest block."""
        async with self._ready():
            return int(await self._web3.eth.block_number)

    async def publish(self, new: Checkpoint, expected: tuple[int, bytes] | None, keys: Sequence[LocalAccount]) -> None:
        """Bring these keys' signatures on a checkpoint; return once they are in a block. Raises Refused."""
        signed = statement(self._terms.chain, self._terms.contract, new)
        given = [bytes(Account.unsafe_sign_hash(signed, key.key).signature) for key in keys]
        size, root = expected if expected is not None else (0, _NOBODY)
        call = self._contract.functions.publish(
            channel_hash(new.channel), new.size, new.root, size, root, new.note, given
        )
        async with self._ready(), self._sending:
            try:
                # The nonce of the newest block, not of the pool: a transaction that got stuck is replaced.
                fees: TxParams = {} if self._gas_price is None else {"gasPrice": Wei(self._gas_price)}
                transaction = await call.build_transaction(
                    {
                        "from": self._payer.address,
                        "chainId": self._terms.chain,
                        "nonce": await self._web3.eth.get_transaction_count(self._payer.address, "latest"),
                        **fees,
                    }
                )
                raw = self._payer.sign_transaction(cast("dict[str, Any]", transaction)).raw_transaction
                name = await self._web3.eth.send_raw_transaction(raw)
                done = await self._web3.eth.wait_for_transaction_receipt(
                    name, timeout=self._timeout, poll_latency=_POLL
                )
            except ContractLogicError as error:
                raise Refused from error
        if not done["status"]:
            raise Refused

    @asynccontextmanager
    async def _ready(self) -> AsyncIterator[None]:
        if self._closed:
            raise LedgerUnavailable("the ledger is closed")
        try:
            if not self._agreed:
                await self._agree()
            yield
        except (Web3Exception, TimeExhausted, aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            if isinstance(error, ContractLogicError):
                raise Refused from error
            raise LedgerUnavailable("the chain cannot be used now") from error

    async def _agree(self) -> None:
        """See that the contract is the one that the configuration describes. Raises Rejected."""
        chain = await self._web3.eth.chain_id
        if chain != self._terms.chain:
            raise Rejected("the node is of another chain than the configuration names")
        if not await self._web3.eth.get_code(self._contract.address):
            raise Rejected("there is no contract at the address that the configuration names")
        anchors = {str(anchor).lower() for anchor in await self._contract.functions.all_anchors().call()}
        threshold = await self._contract.functions.threshold().call()
        if anchors != self._terms.anchors or threshold != self._terms.threshold:
            raise Rejected("the contract has other anchors, or another threshold, than the configuration names")
        self._agreed = True


async def deploy(
    url: str, payer: LocalAccount, anchors: Sequence[str], threshold: int, *, gas_price: int | None, patience: float
) -> tuple[int, str]:
    """Put a new contract on a chain; return the chain's id and the contract's address. `patience` is in seconds.

    Raises LedgerUnavailable.
    """
    provider = AsyncHTTPProvider(url, request_kwargs={"timeout": aiohttp.ClientTimeout(total=patience)})
    web3 = AsyncWeb3(provider)
    web3.middleware_onion.inject(ExtraDataToPOAMiddleware, layer=0)
    made = web3.eth.contract(abi=artifact()["abi"], bytecode=artifact()["bytecode"])
    fees: TxParams = {} if gas_price is None else {"gasPrice": Wei(gas_price)}
    try:
        chain = int(await web3.eth.chain_id)
        transaction = await made.constructor(
            [web3.to_checksum_address(one) for one in anchors], threshold
        ).build_transaction(
            {
                "from": payer.address,
                "chainId": chain,
                "nonce": await web3.eth.get_transaction_count(payer.address, "latest"),
                **fees,
            }
        )
        raw = payer.sign_transaction(cast("dict[str, Any]", transaction)).raw_transaction
        done = await web3.eth.wait_for_transaction_receipt(
            await web3.eth.send_raw_transaction(raw), timeout=patience, poll_latency=_POLL
        )
    except (Web3Exception, aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
        raise LedgerUnavailable("the contract could not be put on the chain") from error
    finally:
        await provider.disconnect()
    address = done["contractAddress"]
    if not done["status"] or address is None:
        raise LedgerUnavailable("the chain refused the contract")
    return chain, str(address).lower()
