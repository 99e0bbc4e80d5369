"""The embedded ledger: one SQLite file that takes growing checkpoints only, and cosigns each with a key of its own."""
