"""What a device has sent, as values: JSON and CBOR, paths into them, numbers and times. Pure.

Whatever is no such thing raises MessageError with a location and without content.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import cbor2

from hawsepipe import MessageError

MISSING: Final = object()
_PATH = re.compile(r"\$(?:\.[A-Za-z_][A-Za-z0-9_-]*|\[[0-9]{1,4}\])*")
_STEP = re.compile(r"\.([A-Za-z_][A-Za-z0-9_-]*)|\[([0-9]+)\]")
_NUMBER = re.compile(r"[+-]?[0-9]{1,30}(?:\.[0-9]{1,30})?(?:[eE][+-]?[0-9]{1,2})?")
_MOST_DIGITS = 30
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Path = tuple[str | int, ...]


def path_of(text: str) -> Path | None:
    """Return `$.a.b[0]` as its steps, None for what is no path."""
    if not _PATH.fullmatch(text):
        return None
    return tuple(name or int(index) for name, index in _STEP.findall(text))


def found(document: Any, path: Path) -> Any:
    """Return what is at a path, MISSING where nothing is."""
    for step in path:
        if isinstance(step, str):
            document = document.get(step, MISSING) if isinstance(document, Mapping) else MISSING
        else:
            document = document[step] if isinstance(document, list) and step < len(document) else MISSING
        if document is MISSING:
            return MISSING
    return document


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    held = dict(pairs)
    if len(held) != len(pairs):
        raise ValueError("a name twice")
    return held


def _json(body: bytes) -> Any:
    # NaN and Infinity are no JSON, and devices write them: they are told as what they are, never as numbers.
    return json.loads(body.decode("utf-8"), parse_float=Decimal, parse_constant=Decimal, object_pairs_hook=_pairs)


def _cbor(body: bytes) -> Any:
    stream = io.BytesIO(body)
    document = cbor2.load(stream)
    if stream.tell() != len(body):
        raise ValueError("more than one value")
    return document


DECODERS: Mapping[str, Callable[[bytes], Any]] = {"json": _json, "cbor": _cbor}


def decoded(body: bytes, format: str) -> Any:
    """Return the document that a payload is. Raises MessageError with cause parse."""
    try:
        return DECODERS[format](body)
    except (ValueError, ArithmeticError, RecursionError, EOFError, cbor2.CBORError, OverflowError) as error:
        raise MessageError("parse", "payload", f"this is no {format.upper()}") from error


def number(value: Any, where: str, *, texts: bool) -> Decimal | None:
    """Return a number as it was written; None for null, and NaN and infinities as such.

    With `texts` a number in a string is one too. Raises MessageError for anything else.
    """
    if value is None:
        return None
    if isinstance(value, bool):
        raise MessageError("structure", where, "a number is expected here")
    if isinstance(value, Decimal):
        return _bounded(value, where)
    if isinstance(value, int):
        return _bounded(Decimal(value), where)
    if isinstance(value, float):
        return Decimal(repr(value))
    if isinstance(value, str) and texts and _NUMBER.fullmatch(value.strip()):
        return Decimal(value.strip())
    reason = "a number in a string is not taken (`text_numbers`)" if isinstance(value, str) else "this is no number"
    raise MessageError("structure", where, reason)


def _bounded(value: Decimal, where: str) -> Decimal:
    digits, exponent = value.as_tuple().digits, value.as_tuple().exponent
    if len(digits) > _MOST_DIGITS or (isinstance(exponent, int) and abs(exponent) > _MOST_DIGITS):
        raise MessageError("structure", where, "this number has more digits than anything measures")
    return value


_SCALES = {"unix": 1, "unix-ms": 1_000, "unix-us": 1_000_000}


def instant(value: Any, form: str, where: str) -> datetime:
    """Return a time: `iso` with an offset, or seconds (`unix`), milliseconds or microseconds since 1970.

    Raises MessageError for what is none.
    """
    try:
        if form == "iso":
            if isinstance(value, datetime):  # CBOR has times
                moment = value
            elif isinstance(value, str):
                moment = datetime.fromisoformat(value)
            else:
                raise ValueError
            if moment.tzinfo is None:
                raise MessageError("structure", where, "a time needs its offset from UTC")
            return moment.astimezone(UTC)
        since = number(value, where, texts=False)
        if since is None or not since.is_finite():
            raise ValueError
        return _EPOCH + timedelta(microseconds=int(since * 1_000_000 / _SCALES[form]))
    except (ValueError, OverflowError) as error:
        raise MessageError("structure", where, "this is no time") from error


def whole(value: Any, where: str) -> int:
    """Return a count from 0 on. Raises MessageError for what is none."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 63:
        raise MessageError("structure", where, "a whole number is expected here")
    return value


def microseconds(moment: datetime) -> int:
    """Return an instant as whole microseconds since 1970."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def moment_of(micros: int) -> datetime:
    """Return the instant that `microseconds` made."""
    return _EPOCH + timedelta(microseconds=micros)
