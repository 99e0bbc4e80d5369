"""Gives the log another key: a leaf that both keys have signed, and one checkpoint that both sign.

    opening   {channel, from, kind: key, signatures, size, to}: the vkeys, and the size from which on the new one signs
    statement "hawsepipe/key-rotation/v1" 0x00 || the opening without its signatures
    signatures  by the old key and by the new one over the statement, base64

The leaf is committed to as any other; opening and salt are public and go into the trust document.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from hawsepipe.errors import VerificationError
from hawsepipe.ledger import note
from hawsepipe.ledger.commitment import SALT_BYTES, commitment
from hawsepipe.model import Checkpoint

_PREFIX = b"hawsepipe/key-rotation/v1\x00"
_STEP = 7


class Handover(note.Signer):
    """Signs with the old key, and with the new one beside it: whoever trusts either knows the checkpoint."""

    def __init__(self, channel: str, old: Ed25519PrivateKey, new: Ed25519PrivateKey) -> None:
        super().__init__(channel, old)
        self._new = note.Signer(channel, new)

    def checkpoint(self, size: int, root: bytes) -> Checkpoint:
        """Return the head of the log, signed by both."""
        first, second = super().checkpoint(size, root), self._new.checkpoint(size, root)
        line = second.note.rpartition(b"\n\n")[2]
        return Checkpoint(first.channel, size, root, first.note + line)


def rotation(
    channel: str, old: Ed25519PrivateKey, new: Ed25519PrivateKey, size: int, random: Callable[[int], bytes]
) -> tuple[bytes, bytes, bytes]:
    """Return commitment, opening and salt of the leaf by which the new key follows the old one from `size` on."""
    vkeys = [note.Signer(channel, key).vkey for key in (old, new)]
    told: dict[str, Any] = {"channel": channel, "from": str(vkeys[0]), "kind": "key", "size": size, "to": str(vkeys[1])}
    statement = _PREFIX + _encoded(told)
    told["signatures"] = [base64.b64encode(key.sign(statement)).decode() for key in (old, new)]
    opening, salt = _encoded(told), random(SALT_BYTES)
    return commitment(salt, opening), opening, salt


def check(entry: Mapping[str, Any], before: str) -> bytes:
    """Return the commitment of a trust document's rotation entry, whose key follows the key `before` (a vkey).

    Raises VerificationError (KEY_NOT_VALID_AT_SIZE) unless both keys have signed that.
    """
    try:
        opening, salt = entry["rotation"]["opening"].encode(), bytes.fromhex(entry["rotation"]["salt"])
        told = msgspec.json.decode(opening, type=dict[str, Any])
        signatures = [base64.b64decode(text, validate=True) for text in told.pop("signatures")]
        if (told["kind"], told["from"], told["to"], told["size"]) != ("key", before, entry["vkey"], entry["fromSize"]):
            raise ValueError
        for vkey, signature in zip((before, entry["vkey"]), signatures, strict=True):
            public = note.VerifierKey.parse(vkey).public
            Ed25519PublicKey.from_public_bytes(public).verify(signature, _PREFIX + _encoded(told))
    except (KeyError, TypeError, ValueError, AttributeError, InvalidSignature, msgspec.MsgspecError) as error:
        raise VerificationError("KEY_NOT_VALID_AT_SIZE", _STEP, "both keys have not signed the rotation") from error
    return commitment(salt, opening)


def _encoded(told: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode(told, order="sorted")
