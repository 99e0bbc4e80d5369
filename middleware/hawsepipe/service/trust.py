"""trust.json: the public keys that auditors verify against. What it once said it goes on saying.

A key in it that is not the present one means that somebody lost or took away the old one. Writing the new key over it
would make that look like nothing, so the start stops instead.
"""

from __future__ import annotations

import itertools
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hawsepipe.errors import ConfigError
from hawsepipe.ledger.evidence import encoded

_KEY = "service.data"
_LARGEST = 1 << 20


def keep(path: Path, document: Mapping[str, Any]) -> None:
    """Write the trust document if there is none yet; add the ledgers that the one there does not name. It blocks.

    The file is written whole or not at all. Raises ConfigError, naming the key that changed, when the file says
    otherwise than `document` about the channel, the log's present key or a ledger; and when it cannot be read or
    written.
    """
    held = _read(path)
    if held is None:
        _write(path, document)
        return
    if held.get("format") != document["format"] or held.get("channel") != document["channel"]:
        raise ConfigError("service.channel", f"{path} is for another channel; name that one, or move the file away")
    present = {key["vkey"] for key in document["log"]}
    if not present <= {key["vkey"] for key in held["log"] if key.get("toSize") is None}:
        raise ConfigError(_KEY, f"keys/log.key is not the log key of {path}; put back the one that it names")
    for name, backend in document["backends"].items():
        if name in held["backends"] and held["backends"][name] != backend:
            raise ConfigError(
                _KEY,
                f"the key of ledger {name} is not the one in {path}; put ledgers/{name} back from a backup, or give the"
                " new ledger another name",
            )
    added = {name: backend for name, backend in document["backends"].items() if name not in held["backends"]}
    if added:
        _write(path, {**held, "backends": {**held["backends"], **added}})


def pending(path: Path, vkey: str) -> Mapping[str, Any] | None:
    """Return the entry of a key that is to follow the present one, None when it is not announced. It blocks."""
    held = _read(path)
    if held is None:
        raise ConfigError(_KEY, f"{path} is missing; start the service once")
    return next((key for key in held["log"] if key["vkey"] == vkey), None)


def announce(path: Path, vkey: str, size: int, leaf: tuple[bytes, bytes, bytes]) -> Mapping[str, Any]:
    """Write down that a key is to follow the present one from `size` on, with the leaf's opening and salt; return the
    entry. It blocks.
    """
    entry = {
        "vkey": vkey,
        "fromSize": size,
        "toSize": None,
        "rotation": {"opening": leaf[1].decode(), "salt": leaf[2].hex()},
    }
    held = _read(path) or {}
    _write(path, {**held, "log": [*held["log"], entry]})
    return entry


def settle(path: Path, vkey: str) -> None:
    """End the range of the key before an announced one: at the size that both have signed. It blocks."""
    held = _read(path) or {}
    keys = [dict(key) for key in held["log"]]
    for before, after in itertools.pairwise(keys):
        if after["vkey"] == vkey:
            before["toSize"] = after["fromSize"]
    _write(path, {**held, "log": keys})


def _read(path: Path) -> dict[str, Any] | None:
    try:
        with path.open("rb") as file:
            held = json.loads(file.read(_LARGEST))
        if (
            isinstance(held, dict)
            and isinstance(held["backends"], dict)
            and all(isinstance(key["vkey"], str) for key in held["log"])
        ):
            return held
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ConfigError(_KEY, f"{path} cannot be read; put it back from a backup, or move it away") from error
    raise ConfigError(_KEY, f"{path} cannot be read; put it back from a backup, or move it away")


def _write(path: Path, document: Mapping[str, Any]) -> None:
    try:
        descriptor, draft = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(encoded(document))
                file.flush()
                os.fchmod(file.fileno(), 0o644)  # public keys only; auditors read it
                os.fsync(file.fileno())
            os.replace(draft, path)
        except BaseException:
            os.unlink(draft)
            raise
        folder = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise ConfigError(_KEY, f"{path} cannot be written") from error
