"""A ledger in a NATS JetStream stream, best on another party's servers: the kind `nats`."""
