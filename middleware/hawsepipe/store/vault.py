"""Raw content encrypted at rest: AES-256-GCM under keys that are named, so that they can be changed for new ones.

What was sealed under an old key is opened with it as long as the configuration names its file. A box says under which
key it is, and is bound to the place that it lies in: a box that somebody moves to another place does not open.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from hawsepipe.errors import ConfigError, StoreError

_NONCE: Final = 12
_BYTES: Final = 32
_PLACE: Final = b"hawsepipe|"
_HEX: Final = re.compile(rb"[0-9a-fA-F]{64}\s*")
BOXED: Final = b"\x00"
"""The first byte of a box where plain content (JSON) may stand as well."""


class Vault:
    """The keys of one store; without any it keeps everything as it is."""

    def __init__(
        self,
        keys: Mapping[str, bytes] | None = None,
        current: str | None = None,
        chance: Callable[[int], bytes] = os.urandom,
    ) -> None:
        """`current` names the key for what comes from now on, None to keep that as it is; `chance` gives nonces."""
        self._ciphers = {name: AESGCM(key) for name, key in (keys or {}).items()}
        self.current = current
        self._chance = chance

    @property
    def names(self) -> frozenset[str]:
        """The names of the keys."""
        return frozenset(self._ciphers)

    def seal(self, content: bytes, place: bytes) -> bytes:
        """Return content as a box under the current key. There must be one."""
        assert self.current is not None, "asked only with a key"
        nonce = self._chance(_NONCE)
        return nonce + self._ciphers[self.current].encrypt(nonce, content, _PLACE + place)

    def open(self, name: str, box: bytes, place: bytes) -> bytes:
        """Return what is in a box. Raises StoreError when its key is not there, or it is not the box of this place."""
        cipher = self._ciphers.get(name)
        if cipher is None:
            raise StoreError(f"the key {name}, under which content is, is not configured")
        try:
            return cipher.decrypt(box[:_NONCE], box[_NONCE:], _PLACE + place)
        except InvalidTag as error:
            raise StoreError(f"content under the key {name} cannot be opened") from error

    def boxed(self, content: bytes, place: bytes) -> bytes:
        """Return content as a box that names its key, or as it is without a current key."""
        if self.current is None:
            return content
        name = self.current.encode("ascii")
        return BOXED + bytes([len(name)]) + name + self.seal(content, place)

    def plain(self, content: bytes, place: bytes) -> bytes:
        """Return what `boxed` was given. Raises StoreError."""
        if content[:1] != BOXED:
            return content
        end = 2 + content[1]
        return self.open(content[2:end].decode("ascii"), content[end:], place)


def read_keys(files: Mapping[str, Path]) -> dict[str, bytes]:
    """Read key files: 32 bytes, or 64 hex digits. Raises ConfigError naming the key whose file does not do."""
    return {name: _key(name, path) for name, path in files.items()}


def _key(name: str, path: Path) -> bytes:
    where = f"journal.keys.{name}"
    try:
        content = path.read_bytes()
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError as error:
        raise ConfigError(where, f"{path} cannot be read ({os.strerror(error.errno or 0)})") from error
    if mode & 0o077:
        raise ConfigError(where, f"{path} may be read by others than its owner (chmod 600)")
    if len(content) == _BYTES:
        return content
    if _HEX.fullmatch(content) is None:
        raise ConfigError(where, f"{path} holds neither {_BYTES} bytes nor {2 * _BYTES} hex digits")
    return bytes.fromhex(content.decode("ascii"))
