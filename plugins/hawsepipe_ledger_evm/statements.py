"""What an anchor signs, and the check of signatures offline; pure, with `cryptography` alone.

A statement is the SHA-256 of a prefix, the chain's id, the contract, the channel's SHA-256, size, root and the note's
SHA-256, each in 32 bytes. Signatures are ECDSA on secp256k1 (SEC 1), r and s in 32 bytes each, s in its lower half.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from hawsepipe import Checkpoint, Receipt, VerificationError

TRUST_TYPE = "evm-anchors/v1"
PREFIX = b"hawsepipe/evm-anchor/v1\0"

_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
_PROOF = frozenset({"chainId", "contract", "signatures"})
_STEP = 8


def channel_hash(channel: str) -> bytes:
    """Return the 32 bytes by which the contract knows a channel."""
    return sha256(channel.encode()).digest()


def statement(chain: int, contract: str, checkpoint: Checkpoint) -> bytes:
    """Return the 32 bytes that an anchor signs; `contract` is its address in hex."""
    parts = (
        PREFIX,
        chain.to_bytes(32, "big"),
        bytes.fromhex(contract.removeprefix("0x")).rjust(32, b"\0"),
        channel_hash(checkpoint.channel),
        checkpoint.size.to_bytes(32, "big"),
        checkpoint.root,
        sha256(checkpoint.note).digest(),
    )
    return sha256(b"".join(parts)).digest()


def proof(chain: int, contract: str, signatures: Mapping[str, bytes]) -> dict[str, Any]:
    """Return a receipt's proof: an anchor's public key (compressed, hex) and its signature (64 bytes) a line."""
    lines = "\n".join(f"{key} {signature.hex()}" for key, signature in sorted(signatures.items()))
    return {"chainId": str(chain), "contract": contract, "signatures": lines}


def verify(receipt: Receipt, checkpoint: Checkpoint, trust: Mapping[str, Any]) -> None:
    """Check that enough distinct anchors of the trust document signed this checkpoint. Raises VerificationError."""
    if (receipt.channel, receipt.size, receipt.root) != (checkpoint.channel, checkpoint.size, checkpoint.root):
        raise _refused("the receipt is for another checkpoint")
    if trust.get("type") != TRUST_TYPE:
        raise _refused("the trust is for another kind of ledger")
    given, chain, contract = receipt.proof, trust.get("chainId"), trust.get("contract")
    anchors, threshold = trust.get("anchors"), trust.get("threshold")
    if not isinstance(chain, int) or not isinstance(contract, str) or not isinstance(anchors, list | tuple):
        raise _refused("the trust is not whole")
    if not isinstance(threshold, int) or threshold < 1:
        raise _refused("the trust asks for no anchor")
    if set(given) != _PROOF or not isinstance(given["signatures"], str):
        raise _refused("the receipt holds no signatures")
    if (given["chainId"], given["contract"]) != (str(chain), contract):
        raise _refused("the receipt is of another contract")
    if not 0 < checkpoint.size < 1 << 64:
        raise _refused("this is not a checkpoint")
    signed = statement(chain, contract, checkpoint)
    keys = [_checked(line, signed, anchors) for line in given["signatures"].split("\n")]
    if keys != sorted(set(keys)):
        raise _refused("an anchor is counted twice, or the anchors are not in their order")
    if len(keys) < threshold:
        raise _refused(f"{len(keys)} of {threshold} anchors have signed")


def _checked(line: str, signed: bytes, anchors: Iterable[Any]) -> str:
    key, _, text = line.partition(" ")
    try:
        raw = bytes.fromhex(text)
    except ValueError as error:
        raise _refused("a signature is not hexadecimal") from error
    if key not in anchors or len(raw) != 64 or raw.hex() != text:
        raise _refused("a signature is not by an anchor")
    r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
    if not 0 < r < _ORDER or not 0 < s <= _ORDER // 2:
        raise _refused("a signature is not in its one form")
    try:
        public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256K1(), bytes.fromhex(key))
        public.verify(encode_dss_signature(r, s), signed, ec.ECDSA(Prehashed(SHA256())))
    except (InvalidSignature, ValueError) as error:
        raise _refused("a signature does not fit what it signs") from error
    return key


def _refused(reason: str) -> VerificationError:
    return VerificationError("RECEIPT_INVALID", _STEP, reason)
