"""Bulk exports as jobs: files that are written in the background and outlive a restart."""
