"""Signed compact tokens, read strictly (RFC 7515, RFC 8725).

What joserfc leaves open is closed here: size, doubled members, header parameters that bring their own key, exact types.
"""

from __future__ import annotations

import binascii
import json
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from joserfc import jws
from joserfc.errors import JoseError

from hawsepipe.auth.keys import KEY_TYPES, SignatureRegistry, VerificationKeys
from hawsepipe.errors import Unauthorized

MAX_TOKEN: Final = 16_384
"""Bytes in a token, at most."""

MAX_LIFETIME: Final = 300
"""Seconds between `iat` and `exp`, at most."""

SKEW: Final = 10
"""Seconds by which another machine's clock may differ from ours."""

_HEADER: Final = frozenset({"alg", "kid", "typ"})
_LONGEST_NAME: Final = 255


@dataclass(frozen=True, slots=True)
class Compact:
    """A token taken apart, not verified: nothing in it may be believed before `verified`."""

    token: str
    algorithm: str
    kid: str
    type: str
    claims: Mapping[str, Any]
    payload: bytes


def refuse(text: str) -> Unauthorized:
    """Return the error for a token that is there but not good. `text` must be a fixed sentence."""
    return Unauthorized(text, challenge="invalid_token")


def parsed(token: str) -> Compact:
    """Take a token apart. Raises Unauthorized."""
    if len(token) > MAX_TOKEN or not token.isascii():
        raise refuse("the token is too long or not ASCII")
    parts = token.split(".")
    if len(parts) != 3 or not all(parts):
        raise refuse("the token is not a signed compact token")
    header = _object(_decoded(parts[0]))
    if not header.keys() <= _HEADER:
        # crit, b64, zip and every parameter that names or brings a key (jwk, jku, x5u, x5c) end here.
        raise refuse("the token's header holds a parameter that is not accepted")
    algorithm, kid, kind = header.get("alg"), header.get("kid"), header.get("typ")
    if not isinstance(algorithm, str) or algorithm not in KEY_TYPES:
        raise refuse("the token's algorithm is not accepted")
    if not isinstance(kid, str) or not isinstance(kind, str):
        raise refuse("the token's header lacks kid or typ")
    payload = _decoded(parts[1])
    return Compact(token, algorithm, kid, kind.lower().removeprefix("application/"), _object(payload), payload)


def verified(compact: Compact, keys: VerificationKeys) -> Mapping[str, Any]:
    """Check the signature with the key that the header names, out of `keys` alone, and return the claims. Raises
    Unauthorized.
    """
    key = keys.find(compact.kid, compact.algorithm)
    if key is None:
        raise refuse("the token is signed with a key that is not known for its issuer")
    try:
        result = jws.deserialize_compact(compact.token, key, registry=SignatureRegistry())
    except (JoseError, ValueError, TypeError) as error:
        raise refuse("the token's signature does not verify") from error
    if result.payload != compact.payload:
        raise refuse("the token's signature does not verify")
    return compact.claims


def text(claims: Mapping[str, Any], name: str) -> str:
    """Return a claim that must be a short string of visible ASCII. Raises Unauthorized."""
    value = claims.get(name)
    if (
        not isinstance(value, str)
        or not 0 < len(value) <= _LONGEST_NAME
        or not value.isascii()
        or not value.isprintable()
    ):
        raise refuse(f"the token's {name} is missing or not usable")
    return value


def check_audience(claims: Mapping[str, Any], audience: str) -> None:
    """Raise Unauthorized unless `aud` is, or lists, this audience exactly."""
    value = claims.get("aud")
    listed = value if isinstance(value, list) else [value]
    if not all(isinstance(item, str) for item in listed) or audience not in listed:
        raise refuse("the token is for another audience")


def check_times(claims: Mapping[str, Any], now: datetime, *, issued_required: bool = True) -> tuple[int, int]:
    """Check exp, iat and nbf against `now` and return (first, last) second at which the token is good. Raises
    Unauthorized.

    Without `iat` (where that is allowed) the token counts as issued at `now`.
    """
    second = int(now.timestamp())
    expires = _second(claims, "exp")
    issued = _second(claims, "iat") if issued_required or "iat" in claims else second
    first = max(issued, _second(claims, "nbf")) if "nbf" in claims else issued
    if expires <= issued or expires - issued > MAX_LIFETIME + (0 if "iat" in claims else SKEW):
        raise refuse("the token's lifetime is longer than is accepted")
    if second >= expires + SKEW:
        raise refuse("the token has expired")
    if second < first - SKEW:
        raise refuse("the token is not valid yet")
    return first - SKEW, expires + SKEW - 1


def _second(claims: Mapping[str, Any], name: str) -> int:
    value = claims.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**40:
        raise refuse(f"the token's {name} is missing or not a whole number")
    return value


def _decoded(part: str) -> bytes:
    if not part.replace("-", "a").replace("_", "a").isalnum():
        raise refuse("the token is not base64url")
    try:
        return urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except (binascii.Error, ValueError) as error:
        raise refuse("the token is not base64url") from error


def _object(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise refuse("the token is not well-formed JSON") from error
    if not isinstance(value, dict):
        raise refuse("the token is not a JSON object")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("doubled member")
    return value


def _no_constant(name: str) -> None:
    raise ValueError("not a JSON number")
