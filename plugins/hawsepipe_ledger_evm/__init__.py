"""A ledger in a contract on an EVM chain, signed by M of N anchors: the kind `evm`."""

import sys

_limit = sys.getrecursionlimit()
import eth_account  # noqa: E402, F401  one of its own packages raises the process's recursion limit when it is imported

sys.setrecursionlimit(_limit)
