"""Loads of history: see DESIGN.md."""
