"""A message as operators see it: its content byte for byte, and as far as its translator can, as lines of text."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from hawsepipe.hooks import Legible, Translator
from hawsepipe.model import RawMessage


def content(body: bytes) -> Mapping[str, str]:
    """Return bytes as text, or in base64 when they are not UTF-8."""
    try:
        return {"text": body.decode("utf-8")}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(body).decode("ascii")}


def shown(message: RawMessage, translator: Translator | None) -> dict[str, Any]:
    """Return a message's media type and content, and its `lines` where its translator can read them."""
    told: dict[str, Any] = {"media_type": message.media_type, "content": content(message.body)}
    if isinstance(translator, Legible):
        told["lines"] = list(translator.lines(message))
    return told


def outside(message: RawMessage, translator: Translator | None) -> dict[str, str | None]:
    """Return what can be told of a message without its content; None for what its translator cannot tell."""
    found = translator.envelope(message) if isinstance(translator, Legible) else None
    if found is None:
        return {"type": None, "sender": None, "control": None}
    return {"type": found.type, "sender": found.sender, "control": found.control}
