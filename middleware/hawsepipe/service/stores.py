"""The store that a configuration names, opened with everything that it is given."""

from __future__ import annotations

import secrets
from contextlib import AbstractAsyncContextManager

from hawsepipe.clock import Clock
from hawsepipe.config import Config
from hawsepipe.ledger.commitment import Commitments
from hawsepipe.meters import Meters
from hawsepipe.service import preparing
from hawsepipe.store.contract import Store
from hawsepipe.store.sqlite.store import open_store


def opened_store(config: Config, clock: Clock, meters: Meters) -> AbstractAsyncContextManager[Store]:
    """Open the store; entering raises StoreError, also when another process has it."""
    return open_store(
        config.data / "store",
        sealer=Commitments(config.channel, secrets.token_bytes),
        labeller=preparing.labeller(config),
        extractor=preparing.extractor(config),
        validator=preparing.validator(),
        clock=clock,
        meters=meters,
        base_url=config.base_url,
        vault=preparing.vault(config),
    )
