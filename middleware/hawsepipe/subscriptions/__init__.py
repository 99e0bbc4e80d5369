"""Subscriptions: what happens is told to those who asked, as far as they may know it; see DESIGN.md."""
