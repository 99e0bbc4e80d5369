"""The entry point: offers the ledger kind `evm`."""

from __future__ import annotations

import stat
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_keys.datatypes import PrivateKey, PublicKey
from eth_keys.exceptions import BadSignature
from eth_utils.exceptions import ValidationError

from hawsepipe import ConfigError, Kind, LedgerBackend, Opening, hookimpl
from hawsepipe_ledger_evm.backend import EvmLedger
from hawsepipe_ledger_evm.chain import Chain, Terms

SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Settings of an evm ledger",
    "type": "object",
    "additionalProperties": False,
    "required": ["url", "chain_id", "contract", "anchors", "keys"],
    "properties": {
        "url": {
            "description": "A node's JSON-RPC over HTTP.",
            "type": "string",
            "pattern": "^https?://[^/]",
        },
        "chain_id": {"description": "The chain's id; another chain is refused.", "type": "integer", "minimum": 1},
        "contract": {
            "description": "The contract's address, as `deploy` printed it.",
            "type": "string",
            "pattern": "^0x[0-9a-fA-F]{40}$",
        },
        "anchors": {
            "description": "The public keys of all anchors (33 bytes, compressed, hex), as in the contract.",
            "type": "array",
            "minItems": 1,
            "maxItems": 32,
            "uniqueItems": True,
            "items": {"type": "string", "pattern": "^0[23][0-9a-f]{64}$"},
        },
        "threshold": {
            "description": "How many anchors must sign a checkpoint, as the contract was made with.",
            "type": "integer",
            "minimum": 1,
            "default": 1,
        },
        "keys": {
            "description": "Files with the private keys (32 bytes, hex) of the anchors that sign here; the first pays.",
            "type": "array",
            "minItems": 1,
            "items": {"type": "string", "minLength": 1},
        },
        "confirmations": {
            "description": "How many blocks, its own counted, make a checkpoint final; 1 where blocks are at once.",
            "type": "integer",
            "minimum": 1,
            "default": 12,
        },
        "gas_price": {
            "description": "What is paid for a unit of gas, in wei; what the node suggests when it is not given.",
            "type": "integer",
            "minimum": 0,
        },
        "timeout_seconds": {
            "description": "How long an answer, and the way into a block, may take.",
            "type": "number",
            "exclusiveMinimum": 0,
            "default": 25,
        },
    },
}


def holder(secret: bytes) -> LocalAccount:
    """Return the account of a private key (32 bytes). Raises ValueError."""
    try:
        found: LocalAccount = Account.from_key(secret)
    except ValidationError as error:
        raise ValueError("this is not a private key of secp256k1") from error
    return found


def account(key: str, path: Path) -> LocalAccount:
    """Read a private key from a file of its owner's alone. Raises ConfigError naming `key`."""
    try:
        if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise ConfigError(key, "others may read the file: chmod 600")
        text = path.read_text(encoding="ascii").strip().removeprefix("0x")
        if len(text) != 64:
            raise ConfigError(key, "the file does not hold 32 bytes in hex")
        return holder(bytes.fromhex(text))
    except OSError as error:
        raise ConfigError(key, "the file cannot be read") from error
    except ValueError as error:
        raise ConfigError(key, "the file does not hold 32 bytes in hex") from error


def public_key(holder: LocalAccount) -> str:
    """Return an account's public key, compressed, in hex."""
    return PrivateKey(bytes(holder.key)).public_key.to_compressed_bytes().hex()


def address_of(key: str, public: str) -> str:
    """Return the address (lower case) of a compressed public key in hex. Raises ConfigError naming `key`."""
    try:
        return PublicKey.from_compressed_bytes(bytes.fromhex(public)).to_address()
    except (ValueError, ValidationError, BadSignature) as error:
        raise ConfigError(key, "this is not a public key of secp256k1") from error


@asynccontextmanager
async def opened(name: str, settings: Mapping[str, Any], base: Path) -> AsyncIterator[EvmLedger]:
    """Open a ledger by its settings; relative paths are relative to `base`. Raises ConfigError."""
    place = f"ledgers.{name}"
    anchors = {
        address_of(f"{place}.anchors.{number}", public): public for number, public in enumerate(settings["anchors"])
    }
    threshold = settings.get("threshold", 1)
    if threshold > len(anchors):
        raise ConfigError(f"{place}.threshold", f"there are {len(anchors)} anchors only")
    keys = [account(f"{place}.keys.{number}", base / file) for number, file in enumerate(settings["keys"])]
    for number, key in enumerate(keys):
        if key.address.lower() not in anchors:
            raise ConfigError(f"{place}.keys.{number}", "this is not the key of one of the anchors")
    terms = Terms(settings["chain_id"], settings["contract"].lower(), frozenset(anchors), threshold)
    chain = Chain(
        settings["url"],
        terms,
        keys[0],
        gas_price=settings.get("gas_price"),
        timeout=settings.get("timeout_seconds", 25),
    )
    try:
        yield EvmLedger(name, chain, terms, anchors, keys, confirmations=settings.get("confirmations", 12))
    finally:
        await chain.close()


def _open(opening: Opening) -> AbstractAsyncContextManager[EvmLedger]:
    return opened(opening.name, opening.settings, opening.base)


@hookimpl
def register_ledgers() -> Sequence[Kind[LedgerBackend]]:
    """Offer the kind `evm`."""
    return (Kind("evm", SCHEMA, _open),)
