"""Signed notes, checkpoints and cosignatures, byte for byte as C2SP specifies them.

https://c2sp.org/signed-note, https://c2sp.org/tlog-checkpoint, https://c2sp.org/tlog-cosignature (the Ed25519 forms
of each).
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from hawsepipe.errors import VerificationError
from hawsepipe.model import Checkpoint

ED25519 = 0x01
"""Signature type of a note signed by a log."""
COSIGNATURE = 0x04
"""Signature type of a timestamped cosignature/v1."""

_NAME = re.compile(r"[^\s+]{1,255}")
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")
_LARGEST_NOTE = 1 << 16
_CHECKPOINT_STEP = 6
_RECEIPT_STEP = 8


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key with its name and signature type. `str` gives the C2SP vkey: `name+keyid+base64(type || key)`."""

    name: str
    algorithm: int
    public: bytes

    @property
    def key_id(self) -> bytes:
        """The four bytes that a signature line carries."""
        return sha256(self.name.encode() + b"\n" + bytes([self.algorithm]) + self.public).digest()[:4]

    def __str__(self) -> str:
        material = base64.b64encode(bytes([self.algorithm]) + self.public).decode()
        return f"{self.name}+{self.key_id.hex()}+{material}"

    @classmethod
    def parse(cls, text: str) -> VerifierKey:
        """Read a vkey. Raises VerificationError (CHECKPOINT_INVALID)."""
        parts = text.split("+", 2)
        if len(parts) != 3:
            raise _broken("a verifier key has three parts")
        material = _unbase64(parts[2])
        if _NAME.fullmatch(parts[0]) is None or len(material) != 33 or material[0] not in (ED25519, COSIGNATURE):
            raise _broken("the verifier key is not an Ed25519 one")
        key = cls(parts[0], material[0], material[1:])
        if key.key_id.hex() != parts[1]:
            raise _broken("the verifier key's identifier is not its hash")
        return key


class Signer:
    """Signs the checkpoints of one channel with the log's key; the key's name is the channel (the log's origin)."""

    def __init__(self, channel: str, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.vkey = VerifierKey(_checked_name(channel), ED25519, key.public_key().public_bytes_raw())

    def checkpoint(self, size: int, root: bytes) -> Checkpoint:
        """Return the signed head of the log at this size. The caller sees to it that no size gets two roots."""
        text = body(self.vkey.name, size, root)
        note = text + b"\n" + _line(self.vkey, self._key.sign(text)).encode()
        return Checkpoint(channel=self.vkey.name, size=size, root=root, note=note)


class Cosigner:
    """Cosigns checkpoints for a ledger backend (cosignature/v1), with a name and a key of its own."""

    def __init__(self, name: str, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.vkey = VerifierKey(_checked_name(name), COSIGNATURE, key.public_key().public_bytes_raw())

    def cosign(self, checkpoint: Checkpoint, instant: datetime) -> str:
        """Return a signature line (with its newline) over the checkpoint's text and the instant, in whole seconds.

        Raises VerificationError (CHECKPOINT_INVALID) for a checkpoint whose note does not say its channel, size and
        root.
        """
        seconds = int(instant.timestamp())
        signature = self._key.sign(_cosigned(seconds, checked_text(checkpoint)))
        return _line(self.vkey, seconds.to_bytes(8, "big") + signature)


def body(channel: str, size: int, root: bytes) -> bytes:
    """Return the text of a checkpoint: origin, size and root, a line each."""
    return f"{channel}\n{size}\n{base64.b64encode(root).decode()}\n".encode()


def split(note: bytes) -> tuple[bytes, tuple[tuple[str, bytes, bytes], ...]]:
    """Return a note's text and its signatures as (name, key id, signature).

    Raises VerificationError (CHECKPOINT_INVALID).
    """
    if len(note) > _LARGEST_NOTE:
        raise _broken("the note is too large")
    try:
        text = note.decode()
    except UnicodeDecodeError as error:
        raise _broken("the note is not UTF-8") from error
    head, gap, tail = text.rpartition("\n\n")
    if not gap or not tail.endswith("\n") or any(char < " " and char != "\n" for char in text):
        raise _broken("the note has no text, a blank line and signatures")
    return (head + "\n").encode(), tuple(_signature(line) for line in tail[:-1].split("\n"))


def checked_text(checkpoint: Checkpoint) -> bytes:
    """Return the signed text of a checkpoint's note if it says what the checkpoint says (no signature is checked).

    Raises VerificationError (CHECKPOINT_INVALID).
    """
    text, _ = split(checkpoint.note)
    lines = text.decode().split("\n")
    if len(lines) < 4 or _SIZE.fullmatch(lines[1]) is None:
        raise _broken("the note is not a checkpoint")
    if (lines[0], int(lines[1]), _unbase64(lines[2])) != (checkpoint.channel, checkpoint.size, checkpoint.root):
        raise _broken("the note speaks of another checkpoint")
    return text


def verify_checkpoint(checkpoint: Checkpoint, vkey: VerifierKey) -> None:
    """Return if the log's key signed this checkpoint.

    Raises VerificationError (SIGNATURE_INVALID, CHECKPOINT_INVALID).
    """
    text = checked_text(checkpoint)
    _, signatures = split(checkpoint.note)
    for name, key_id, signature in signatures:
        if vkey.algorithm == ED25519 and (name, key_id) == (vkey.name, vkey.key_id):
            _check(vkey, signature, text, _CHECKPOINT_STEP)
            return
    raise VerificationError("SIGNATURE_INVALID", _CHECKPOINT_STEP, "the log's key has not signed this checkpoint")


def verify_log_signature(checkpoint: Checkpoint, vkey: str) -> None:
    """Return if the log's key (a C2SP vkey) signed this checkpoint.

    Raises VerificationError (SIGNATURE_INVALID, CHECKPOINT_INVALID).
    """
    verify_checkpoint(checkpoint, VerifierKey.parse(vkey))


def verify_cosignature(line: str, checkpoint: Checkpoint, vkey: str) -> int:
    """Return the POSIX seconds at which the key (a C2SP vkey) cosigned the checkpoint.

    Raises VerificationError (RECEIPT_INVALID, CHECKPOINT_INVALID).
    """
    key = VerifierKey.parse(vkey)
    text = checked_text(checkpoint)
    name, key_id, signature = _signature(line.removesuffix("\n"))
    if key.algorithm != COSIGNATURE or (name, key_id) != (key.name, key.key_id) or len(signature) != 72:
        raise VerificationError("RECEIPT_INVALID", _RECEIPT_STEP, "this is not a cosignature by the key")
    seconds = int.from_bytes(signature[:8], "big")
    _check(key, signature[8:], _cosigned(seconds, text), _RECEIPT_STEP)
    return seconds


def _check(vkey: VerifierKey, signature: bytes, message: bytes, step: int) -> None:
    try:
        Ed25519PublicKey.from_public_bytes(vkey.public).verify(signature, message)
    except (InvalidSignature, ValueError) as error:
        code = "SIGNATURE_INVALID" if step == _CHECKPOINT_STEP else "RECEIPT_INVALID"
        raise VerificationError(code, step, "the signature does not fit the text") from error


def _cosigned(seconds: int, text: bytes) -> bytes:
    return f"cosignature/v1\ntime {seconds}\n".encode() + text


def _line(vkey: VerifierKey, signature: bytes) -> str:
    return f"— {vkey.name} {base64.b64encode(vkey.key_id + signature).decode()}\n"


def _signature(line: str) -> tuple[str, bytes, bytes]:
    parts = line.split(" ")
    if len(parts) != 3 or parts[0] != "—" or _NAME.fullmatch(parts[1]) is None:
        raise _broken("a signature line is malformed")
    raw = _unbase64(parts[2])
    if len(raw) < 5:
        raise _broken("a signature is too short")
    return parts[1], raw[:4], raw[4:]


def _unbase64(text: str) -> bytes:
    try:
        raw = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, ValueError) as error:
        raise _broken("a field is not base64") from error
    if base64.b64encode(raw).decode() != text:
        raise _broken("a field is not in the one base64 form of its bytes")
    return raw


def _checked_name(name: str) -> str:
    if _NAME.fullmatch(name) is None:
        raise _broken("a key's name has no spaces and no '+'")
    return name


def _broken(reason: str) -> VerificationError:
    return VerificationError("CHECKPOINT_INVALID", _CHECKPOINT_STEP, reason)
