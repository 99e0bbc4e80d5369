"""The store in a PostgreSQL database, which several processes may have open (see `../DESIGN.md`)."""

from hawsepipe.store.postgres.store import Database, open_store, read_store, way_to

__all__ = ["Database", "open_store", "read_store", "way_to"]
