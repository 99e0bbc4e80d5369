"""The embedded ledger keeps the contract of ledger backends."""

from __future__ import annotations

from hawsepipe_conformance.ledger import LedgerContract


class TestLedgerLog(LedgerContract):
    """The kind `log`."""

    plugin = "hawsepipe_ledger_log.plugin"
    kind_name = "log"
