"""Where a page ended, as a text that only its requester can use again.

A cursor holds the query itself (so that no search value appears in a next link) and the last entry's place. It is
sealed with AES-SIV (RFC 5297), which encrypts and authenticates, bound to the requester's context. The key is the
service's: links survive a restart.
"""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from hawsepipe.errors import InvalidRequest
from hawsepipe.fhir.query import Cursor
from hawsepipe.model import Principal

PARAMETER: Final = "_cursor"
"""The name of the query parameter."""

_LONGEST: Final = 65_536
_DIGITS: Final = 20


@dataclass(frozen=True, slots=True)
class Place:
    """What a cursor says: the parameters as they were asked, how they were handled, and where the page ended."""

    pairs: tuple[tuple[str, str], ...]
    strict: bool
    values: tuple[str | int | None, ...]
    key: int
    instant: int | None = None

    @property
    def cursor(self) -> Cursor:
        """The place as the store takes it."""
        return Cursor(self.values, self.key, self.instant)


class Cursors:
    """Seals and opens cursors."""

    def __init__(self, key: bytes) -> None:
        """`key` is at least 32 secret bytes that stay the same for as long as links shall hold."""
        if len(key) < 32:
            raise ValueError("a cursor key needs at least 32 bytes")
        derived = HKDF(algorithm=SHA256(), length=64, salt=None, info=b"hawsepipe/cursor/v1").derive(key)
        self._cipher = AESSIV(derived)

    def seal(self, place: Place, principal: Principal, target: str) -> str:
        """Return a text for `place`; `target` is what is paged through (`Observation`, `Patient/1/_history`)."""
        # As long whatever the key is: its digits would tell how much there is that the requester does not see.
        padding = b" " * (_DIGITS - len(str(place.key)))
        sealed = self._cipher.encrypt(msgspec.json.encode(place) + padding, [_context(principal, target)])
        return urlsafe_b64encode(sealed).rstrip(b"=").decode("ascii")

    def open(self, text: str, principal: Principal, target: str) -> Place:
        """Return what was sealed. Raises InvalidRequest for anything that was not, or not for this requester and
        target.
        """
        try:
            if len(text) > _LONGEST:
                raise ValueError
            sealed = urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
            return msgspec.json.decode(self._cipher.decrypt(sealed, [_context(principal, target)]), type=Place)
        except (InvalidTag, binascii.Error, ValueError, msgspec.MsgspecError) as error:
            raise InvalidRequest(
                "the cursor is not one of ours, or not for this request", location=PARAMETER
            ) from error


def _context(principal: Principal, target: str) -> bytes:
    # Everything that a decision depends on, but no token id: a cursor outlives the token of the first page.
    return msgspec.json.encode(
        [principal.tenant, principal.subject, principal.client, principal.purpose, principal.patient, target]
    )
