"""Access tokens to principals: the one strict wrapper around joserfc (RFC 9068, RFC 8725).

joserfc checks signatures and ties keys to algorithms; everything that it leaves to its caller (type, times, audience,
issuer, doubled claims, which key may speak for which issuer) is decided here and in `compact`, and nowhere else.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

from hawsepipe.auth.compact import check_audience, check_times, parsed, refuse, text, verified
from hawsepipe.auth.keys import VerificationKeys
from hawsepipe.auth.principals import principal
from hawsepipe.clock import Clock
from hawsepipe.model import Principal

_REMEMBERED: Final = 4_096


class TokenVerifier:
    """Turns the text of a bearer token into a Principal, or refuses it.

    A token that was found good is remembered by its digest until it expires, since the answer depends on nothing but
    the token, the settings and the time; the time is checked again on each use.
    """

    def __init__(
        self,
        issuers: Mapping[str, VerificationKeys],
        audience: str,
        clock: Clock,
        *,
        tenants: frozenset[str] = frozenset({"default"}),
    ) -> None:
        """`issuers` maps `iss` to the only keys that may speak for it; `audience` is the FHIR base without a trailing
        slash.
        """
        self._issuers = dict(issuers)
        self._audience = audience
        self._clock = clock
        self._tenants = tenants
        self._good: OrderedDict[bytes, tuple[int, int, Principal]] = OrderedDict()

    def verify(self, token: str) -> Principal:
        """Return who the token speaks for. Raises Unauthorized with a text that holds nothing of the token."""
        now = self._clock()
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        known = self._good.get(digest)
        if known is not None:
            first, last, who = known
            if first <= int(now.timestamp()) <= last:
                self._good.move_to_end(digest)
                return who
            del self._good[digest]
        # 1  form, size, header, algorithm (RFC 7515; RFC 8725, 3.1, 3.2)
        compact = parsed(token)
        # 2  it is an access token and no other kind of JWT (RFC 9068, 2.1; RFC 8725, 3.11)
        if compact.type != "at+jwt":
            raise refuse("the token is not an access token")
        # 3  the issuer is one of ours, and only its keys count (RFC 8725, 3.8)
        keys = self._issuers.get(text(compact.claims, "iss"))
        if keys is None:
            raise refuse("the token's issuer is not known")
        # 4  signature
        claims = verified(compact, keys)
        # 5  audience and times (RFC 9068, 4)
        check_audience(claims, self._audience)
        first, last = check_times(claims, now)
        # 6  a token that is bound to a key must not be taken as a bearer token (RFC 7800, RFC 9449)
        if "cnf" in claims:
            raise refuse("the token is bound to a key and cannot be used as a bearer token")
        # 7  who it speaks for
        who = principal(claims, base_url=self._audience, tenants=self._tenants)
        self._good[digest] = (first, last, who)
        if len(self._good) > _REMEMBERED:
            self._good.popitem(last=False)
        return who
