"""Gives the log of an installation another key, while no service runs. It can be cut off anywhere and run again."""

from __future__ import annotations

import asyncio
import os
import secrets
from contextlib import AsyncExitStack

from hawsepipe import plugins as loader
from hawsepipe.clock import Clock
from hawsepipe.config import Config
from hawsepipe.errors import ConfigError, LedgerUnavailable, VerificationError
from hawsepipe.ledger.anchorer import Anchorer
from hawsepipe.ledger.highwater import HighWater
from hawsepipe.ledger.keys import existing_key, signing_key
from hawsepipe.ledger.note import Signer, verify_log_signature
from hawsepipe.ledger.rotation import Handover, check, rotation
from hawsepipe.meters import Meters
from hawsepipe.service import credentials, trust
from hawsepipe.service.kinds import Opener
from hawsepipe.service.stores import opened_store
from hawsepipe.store.contract import Store


async def rotate(config: Config, clock: Clock) -> str:
    """Make a new log key, have both sign that it follows the old one, and put it in its place; return its vkey.

    The old key stays as `keys/log.key.old`. Raises StoreError when a service runs, ConfigError, LedgerUnavailable when
    the log cannot be brought to its end first.
    """
    keys, file = credentials.require_keys(config, rotating=True), config.data / "trust.json"
    current, following = keys / "log.key", keys / "log.key.next"
    old = await asyncio.to_thread(existing_key, current)
    new = await asyncio.to_thread(signing_key, following)
    vkey = str(Signer(config.channel, new).vkey)
    meters = Meters()
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(opened_store(config, clock, meters))
        loaded = loader.load(config.plugins)
        ledgers = await Opener(stack, config, clock, meters).all(loaded.ledgers, config.ledgers, "ledgers")
        mark = HighWater(keys / "log.mark", config.channel)

        async def anchored(signer: Signer) -> None:
            anchorer = Anchorer(store, ledgers, signer, config.channel, clock, meters, mark=mark)
            await anchorer.resume()
            if not await anchorer.once() or await store.outbox_depth():
                raise LedgerUnavailable(f"the log is {anchorer.state.value}: its key changes when all ledgers hold it")

        pending = await asyncio.to_thread(trust.pending, file, vkey)
        if pending is None:
            await anchored(Signer(config.channel, old))
            head = await store.checkpoint(config.channel)
            if head is None:
                raise ConfigError("service.data", "the log is empty; make a new key by deleting keys/log.key")
            # The leaf, and the state leaf of its batch: from there on the new key signs. It is written down before it
            # is done, so that what is in the log has an opening.
            made = rotation(config.channel, old, new, head.size + 2, secrets.token_bytes)
            pending = await asyncio.to_thread(trust.announce, file, vkey, head.size + 2, made)
        if not await _signed(store, config.channel, vkey):
            leaf = check(pending, str(Signer(config.channel, old).vkey))
            if await store.leaf_index(leaf) is None and not await store.in_outbox(leaf):
                await store.put_leaf(leaf)
            await anchored(Handover(config.channel, old, new))
    await asyncio.to_thread(trust.settle, file, vkey)
    os.replace(current, keys / "log.key.old")
    os.replace(following, current)
    return vkey


async def _signed(store: Store, channel: str, vkey: str) -> bool:
    head = await store.checkpoint(channel)
    if head is None:
        return False
    try:
        verify_log_signature(head, vkey)
    except VerificationError:
        return False
    return True
