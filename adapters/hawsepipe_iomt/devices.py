"""The devices that are known: who wears which one and when, and the keys that their readings are signed with.

A device with a key is believed only what it has signed. Keys that are secrets come from files or the environment.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

import jsonschema
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from hawsepipe import ConfigError
from hawsepipe_schemas import load

SYSTEM = "urn:hawsepipe:device"
"""The system of a device's identifier when the registry names none."""
_LEAST_SECRET = 16


@dataclass(frozen=True, slots=True)
class Assignment:
    """Who wore a device from an instant (included) to another (excluded); None is open."""

    system: str
    value: str
    begin: datetime | None
    end: datetime | None


@dataclass(frozen=True, slots=True)
class Key:
    """What a device's signatures are checked with: an Ed25519 public key, or a secret for HMAC-SHA-256."""

    kind: str
    data: bytes

    def verified(self, text: bytes, signature: bytes) -> bool:
        """Say whether a signature is this device's over a text."""
        if self.kind == "hmac":
            return hmac.compare_digest(hmac.digest(self.data, text, "sha256"), signature)
        try:
            Ed25519PublicKey.from_public_bytes(self.data).verify(signature, text)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class Device:
    """A device that the registry has."""

    id: str
    system: str
    assignments: tuple[Assignment, ...]
    key: Key | None

    def wearer(self, instant: datetime) -> Assignment | None:
        """Return who wore it at an instant."""
        for one in self.assignments:
            if (one.begin is None or one.begin <= instant) and (one.end is None or instant < one.end):
                return one
        return None


class Registry:
    """All devices of a file. `digest` is SHA-256 over who wore what; secrets are no part of it."""

    def __init__(self, devices: Mapping[str, Device], digest: bytes) -> None:
        self._devices = devices
        self.digest = digest

    def get(self, id: str) -> Device | None:
        """Return a device, None for one that nobody has entered."""
        return self._devices.get(id)


NOBODY = Registry({}, sha256(b"").digest())


@cache
def _validator() -> Any:
    return jsonschema.Draft202012Validator(load("device-registry.schema.json"))


def read(path: Path, key: str) -> Registry:
    """Read a file of devices. Raises ConfigError about the setting `key`."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(key, f"{path} cannot be read ({error})") from error
    for wrong in _validator().iter_errors(json.loads(json.dumps(document, default=str))):
        where = ".".join(str(step) for step in wrong.absolute_path)
        raise ConfigError(f"{key}: {where}", wrong.message)
    found: dict[str, Device] = {}
    for number, row in enumerate(document["devices"]):
        where = f"{key}: devices.{number}"
        if row["id"] in found:
            raise ConfigError(f"{where}.id", f"{row['id']} is there twice")
        found[row["id"]] = Device(
            row["id"], row.get("system", SYSTEM), _assignments(row, where), _key(row.get("key"), path.parent, where)
        )
    told = [(one.id, one.system, [str(it) for it in one.assignments], one.key is not None) for one in found.values()]
    return Registry(found, sha256(json.dumps(told).encode()).digest())


def _assignments(row: Mapping[str, Any], where: str) -> tuple[Assignment, ...]:
    told = [row["patient"]] if "patient" in row else row.get("assignments", [])
    found = []
    for number, one in enumerate(told):
        for name in ("from", "until"):
            if name in one and (not isinstance(one[name], datetime) or one[name].tzinfo is None):
                raise ConfigError(
                    f"{where}.assignments.{number}.{name}", "an instant is written as 2026-03-01T08:00:00Z"
                )
        found.append(Assignment(one["system"], one["value"], one.get("from"), one.get("until")))
    ordered = sorted(found, key=lambda it: (it.begin is not None, it.begin.timestamp() if it.begin else 0))
    for one, other in pairwise(ordered):
        if one.end is None or other.begin is None or other.begin < one.end:
            raise ConfigError(f"{where}.assignments", "two people cannot wear one device at a time")
    return tuple(ordered)


def _key(row: Mapping[str, Any] | None, base: Path, where: str) -> Key | None:
    if row is None:
        return None
    try:
        if "ed25519" in row:
            data = base64.b64decode(row["ed25519"], validate=True)
            Ed25519PublicKey.from_public_bytes(data)
            return Key("ed25519", data)
        told = row["hmac"]
        text = os.environ[told["environment"]] if "environment" in told else (base / told["file"]).read_text("ascii")
        data = base64.b64decode(text.strip(), validate=True)
    except (ValueError, binascii.Error, OSError, KeyError) as error:
        raise ConfigError(f"{where}.key", "this key cannot be read: base64 of 32 bytes, or of a secret") from error
    if len(data) < _LEAST_SECRET:
        raise ConfigError(f"{where}.key", f"a secret has {_LEAST_SECRET} bytes at least")
    return Key("hmac", data)
