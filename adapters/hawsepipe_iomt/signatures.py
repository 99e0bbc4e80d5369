"""Signed readings: an envelope around the payload, bound to device, topic and a number that only grows. Pure.

The envelope is JSON, `{"payload": base64, "nonce": 17, "signature": base64}`. What is signed is `signed_text`.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Final, NamedTuple

from hawsepipe import MessageError
from hawsepipe_iomt.devices import Registry
from hawsepipe_iomt.payloads import whole

_MEMBERS: Final = {"payload", "nonce", "signature"}


class Envelope(NamedTuple):
    """What was signed: the payload and its number; without a signature the payload is all there is."""

    payload: bytes
    nonce: int | None
    signature: bytes


def opened(body: bytes) -> Envelope:
    """Return what is in a message. Raises MessageError for an envelope that cannot be read."""
    if body.lstrip()[:1] != b"{" or b'"signature"' not in body:
        return Envelope(body, None, b"")
    try:
        document = json.loads(body)
        if set(document) != _MEMBERS:
            return Envelope(body, None, b"")
        payload, signature = (base64.b64decode(document[name], validate=True) for name in ("payload", "signature"))
    except (ValueError, TypeError, RecursionError, binascii.Error) as error:
        raise MessageError("parse", "signature", "this is no signed reading") from error
    return Envelope(payload, whole(document["nonce"], "nonce"), signature)


def signed_text(device: str, topic: str, nonce: int, payload: bytes) -> bytes:
    """Return what a device signs: a name of this form, itself, the topic, the number and the payload, each with its
    length, so that nothing can be moved from one to another.
    """
    parts = (b"hawsepipe-reading-v1", device.encode(), topic.encode(), str(nonce).encode(), payload)
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def check(registry: Registry, device: str, topic: str, envelope: Envelope) -> None:
    """Return for what a device has signed, and for what it need not sign. Raises MessageError at `signature`."""
    known = registry.get(device)
    key = known.key if known is not None else None
    if key is None:
        if envelope.nonce is None:
            return
        raise MessageError("structure", "signature", "this device has no key here that it could be checked with")
    if envelope.nonce is None:
        raise MessageError("structure", "signature", "this device signs its readings, and this one is not signed")
    if not key.verified(signed_text(device, topic, envelope.nonce, envelope.payload), envelope.signature):
        raise MessageError("structure", "signature", "the signature is not that of this device for this topic")
