"""Signing keys in files that only their owner can read.

One file a key: the log's key and each backend's key never share one. The form is PKCS #8 PEM (Ed25519, RFC 8410), so
`openssl pkey` reads it.
"""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from hawsepipe.errors import ConfigError

_LARGEST = 1 << 14


def signing_key(path: Path) -> Ed25519PrivateKey:
    """Return the Ed25519 key in this file, made at the first call (mode 0600, fsynced).

    It blocks: call it at start or in a thread.

    Raises ConfigError, naming the file, when anyone but the owner may read or write it or when it holds no such key.
    """
    try:
        return _read(path)
    except FileNotFoundError:
        _make(path)
        return _read(path)


def existing_key(path: Path) -> Ed25519PrivateKey:
    """Return the Ed25519 key in this file; none is made. It blocks.

    Raises ConfigError, naming the file, as `signing_key` does and when there is no such file.
    """
    try:
        return _read(path)
    except FileNotFoundError as error:
        raise ConfigError(str(path), "the key file is missing") from error


def _read(path: Path) -> Ed25519PrivateKey:
    try:
        # Opened first and asked afterwards, so that the file whose mode is checked is the file that is read.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ConfigError(str(path), "the key file cannot be opened") from error
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise ConfigError(str(path), "the key is not in a regular file")
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise ConfigError(str(path), "others may use this key file; set its mode to 0600")
        data = os.read(descriptor, _LARGEST)
    finally:
        os.close(descriptor)
    try:
        key = load_pem_private_key(data, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigError(str(path), "the file holds no private key in PEM form") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(str(path), "the key is not an Ed25519 key")
    return key


def _make(path: Path) -> None:
    data = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        descriptor, draft = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 0600
        try:
            os.write(descriptor, data)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        try:
            # A link, unlike a rename, never replaces a key that another process has just made.
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            os.unlink(draft)
        folder = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise ConfigError(str(path), "the key file cannot be written") from error
