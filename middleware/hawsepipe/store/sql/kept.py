"""Which content of versions is under a key, and what its box is bound to."""

from __future__ import annotations

from typing import Final

from hawsepipe.store.vault import Vault
from hawsepipe.visibility import SEALED

_DOCUMENT: Final = b'{"resourceType":"DocumentReference"'
_SEALED: Final = f'"{SEALED[1]}"'.encode()


def kept(vault: Vault, content: bytes | None, key: int) -> bytes | None:
    """Return a version's content as it is written: under the current key if it holds a message as received."""
    if vault.current is None or content is None or not _whole_message(content):
        return content
    return vault.boxed(content, place_of(key))


def opened(vault: Vault, content: bytes | None, key: int) -> bytes | None:
    """Return what `kept` was given. Raises StoreError."""
    return None if content is None else vault.plain(content, place_of(key))


def place_of(key: int) -> bytes:
    """Return what a version's box is bound to: its row key."""
    return b"version|%d" % key


def _whole_message(content: bytes) -> bool:
    """Say whether a version may be a message as received; where it is in doubt it is sealed as well."""
    return content.startswith(_DOCUMENT) and _SEALED in content
