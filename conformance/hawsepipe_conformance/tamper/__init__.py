"""Tampering with a real store, a real log and a real ledger, and whether each is found by its code."""
