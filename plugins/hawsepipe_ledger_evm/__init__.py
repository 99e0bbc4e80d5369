"""A ledger in a contract on an EVM chain, signed by M of N anchors: the kind `evm`."""
