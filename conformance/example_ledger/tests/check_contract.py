"""The example ledger keeps the contract of ledger backends; run it with pytest where the example is installed."""

from __future__ import annotations

from hawsepipe_conformance.ledger import LedgerContract


class TestLineLedger(LedgerContract):
    """The kind `lines`."""

    plugin = "hawsepipe_example_ledger"
    kind_name = "lines"
