"""A ledger in a PostgreSQL database, best another party's: the kind `postgres`."""
