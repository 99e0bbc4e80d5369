"""Entries of the journal for people: what is on their outside, and their content byte for byte or as lines."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any


def content(entry: Mapping[str, Any]) -> bytes:
    """Return the content of an entry as it came."""
    told: Mapping[str, str] = entry["content"]
    return told["text"].encode() if "text" in told else base64.b64decode(told["base64"])


def legible(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return an entry without a content in base64 whose lines are there as well."""
    return {
        name: value for name, value in entry.items() if name != "content" or not entry.get("lines") or "text" in value
    }


def outside(entry: Mapping[str, Any]) -> str:
    """Return type, sender and control id, as the end of a line; empty when nobody can tell them."""
    if entry["type"] is None:
        return ""
    return f"  ({entry['type'] or '-'} from {entry['sender']}, control id {entry['control'] or '-'})"
