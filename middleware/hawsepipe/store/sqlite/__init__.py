"""The store over SQLite: one directory, one process."""

from hawsepipe.store.sqlite.store import open_store, read_store

__all__ = ["open_store", "read_store"]
