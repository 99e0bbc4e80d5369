"""Decimals as bytes that compare as the numbers do, exactly and at any size: a side table can index them.

Sign, adjusted exponent, digits without trailing zeros; for a negative number the complement of it all, closed by 0xFF
so that the shorter of two is the greater.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

_OFFSET: Final = 1 << 62
_COMPLEMENT = bytes(255 - byte for byte in range(256))


def sortable(value: Decimal) -> bytes:
    """Return the bytes of a finite number; 1.0 and 1.00 have the same. Raises ValueError for what is not finite."""
    if not value.is_finite():
        raise ValueError("not a number")
    sign, digits, _ = value.as_tuple()
    if not value:
        return b"\x01"
    significant = "".join(map(str, digits)).strip("0").encode("ascii")
    body = (value.adjusted() + _OFFSET).to_bytes(8, "big") + significant
    return b"\x00" + body.translate(_COMPLEMENT) + b"\xff" if sign else b"\x02" + body
