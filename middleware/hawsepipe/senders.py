"""Who may hand messages to a feed over HTTP: those whose bearer token the feed knows (RFC 6750).

The file of tokens is a JSON object: a sender's name to the SHA-256 of its token in hex. So the file grants nothing to
who reads it.
"""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from hawsepipe.errors import ConfigError


class Senders:
    """The senders of one feed."""

    def __init__(self, digests: Mapping[str, str] | None) -> None:
        """`digests` is the SHA-256 (hex) of each sender's token; None when the feed asks for none."""
        self._digests = digests

    @classmethod
    def of(cls, settings: Mapping[str, Any], base: Path) -> Senders:
        """Read the settings `tokens` (a file; a relative path is relative to `base`) and `unauthenticated`.

        Raises ConfigError naming `tokens`, also when the settings name no file and do not say that anybody may send.
        """
        path = settings.get("tokens")
        if path is None:
            if not settings["unauthenticated"]:
                raise ConfigError("tokens", "name a file of tokens, or say `unauthenticated = true`")
            return cls(None)
        return cls(_digests(base / path))

    def allow(self, authorization: str) -> bool:
        """Say whether the value of a header `Authorization` holds a token of these senders."""
        if self._digests is None:
            return True
        scheme, _, token = authorization.partition(" ")
        digest = sha256(token.strip().encode("utf-8", "surrogatepass")).hexdigest()
        found = [hmac.compare_digest(digest, one) for one in self._digests.values()]
        return scheme.lower() == "bearer" and any(found)


def _digests(path: Path) -> dict[str, str]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError("tokens", "the file cannot be read") from error
    except ValueError as error:
        raise ConfigError("tokens", "the file is not JSON") from error
    if not isinstance(document, dict) or not document:
        raise ConfigError("tokens", "the file holds an object: a sender's name to the SHA-256 of its token in hex")
    for name, digest in document.items():
        if not isinstance(digest, str) or re.fullmatch(r"[0-9a-f]{64}", digest) is None:
            raise ConfigError("tokens", f"{name}: not a SHA-256 in hex")
    return document
