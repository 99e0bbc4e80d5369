"""JSON to resources and back, with decimals exactly as they were spelt.

R4 JSON: https://hl7.org/fhir/R4/json.html. A decimal is `decimal.Decimal`; where `Decimal` would spell it in another
way (`1e2`, `0.0000001`) it is `msgspec.Raw`, which `encode` writes verbatim. `number` gives the value of either.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from hawsepipe.errors import InvalidRequest
from hawsepipe.model import Resource

DEPTH = 100
"""How many objects and lists may be inside each other, the outermost included."""

DIGITS = 1000
"""How many characters a number may have."""

_OFFSET = re.compile(r"\(byte (\d+)\)")
_SPACED_COLON = re.compile(rb'"[ \t\r\n]+:')
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


def decode(data: bytes) -> Resource:
    """Return the JSON object in `data`.

    Raises InvalidRequest, naming the byte or the path and nothing of the content, for what is not JSON in UTF-8, is not
    an object, nests deeper than DEPTH, has a key twice in one object, a lone surrogate, or a number that is too long or
    not a number.
    """
    value = read(data, _DECODER)
    if type(value) is not dict:
        raise InvalidRequest("the JSON is not an object")
    return value


def value_of(data: bytes) -> Any:
    """Return the JSON value in `data`, of any type, under the rules of `decode`."""
    return read(data, _DECODER)


def check_depth(value: Any) -> None:
    """Raise InvalidRequest for what nests deeper than DEPTH: it could not be decoded again."""
    _keys(value)


def encode(resource: Resource) -> bytes:
    """Return compact JSON in UTF-8, keys in the order of the resource.

    Raises InvalidRequest for what JSON cannot hold.
    """
    try:
        return _ENCODER.encode(resource)
    except (TypeError, ValueError, RecursionError):
        raise InvalidRequest("the resource holds a value that JSON cannot") from None


def number(value: Any) -> Decimal:
    """Return the value of a JSON number (int, Decimal or Raw, as `decode` gives it, or float).

    Raises InvalidRequest for anything else.
    """
    if type(value) is int or isinstance(value, Decimal):
        return Decimal(value)
    if type(value) is float:  # from an adapter; `decode` gives none
        return Decimal(repr(value))
    if isinstance(value, msgspec.Raw):
        try:
            return Decimal(bytes(value).decode("ascii"))
        except (InvalidOperation, UnicodeDecodeError):
            raise InvalidRequest("the value is not a number") from None
    raise InvalidRequest("the value is not a number")


def read(data: bytes, decoder: msgspec.json.Decoder[Any]) -> Any:
    """Decode with `decoder` under the rules of `decode`; the value may be of any JSON type."""
    try:
        value = decoder.decode(data)
        compact = len(_ENCODER.encode(value)) == len(data)
    except UnicodeDecodeError:
        raise InvalidRequest("the JSON is not valid UTF-8") from None
    except RecursionError:
        raise _too_deep() from None
    except msgspec.DecodeError as error:
        raise _malformed(str(error), data) from None
    # Encoding never makes JSON longer and losing a doubled key makes it shorter: equal length proves that no key was
    # lost.
    if not compact:
        keys = _keys(value)
        if _SPACED_COLON.search(data) is not None or data.count(b'":') != keys:
            _refuse_doubled_keys(data)
    elif data.count(b"{") + data.count(b"[") > DEPTH:
        _keys(value)
    return value


def lexeme(text: str) -> Decimal | msgspec.Raw:
    """Return a number by how it is spelt; raises msgspec.DecodeError for one that is too long or none."""
    if len(text) > DIGITS:
        raise msgspec.DecodeError
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise msgspec.DecodeError from None
    return value if str(value) == text else msgspec.Raw(text)


_DECODER = msgspec.json.Decoder(float_hook=lexeme)
_ENCODER = msgspec.json.Encoder(decimal_format="number")


def _keys(value: Any) -> int:
    """Count the keys of every object; refuse what nests too deep."""
    keys = depth = 0
    level = [value]
    while level:
        depth += 1
        if depth > DEPTH:
            raise _too_deep()
        below: list[Any] = []
        for node in level:
            children = node
            if type(node) is dict:
                keys += len(node)
                children = node.values()
            elif type(node) is not list:
                continue
            below += [child for child in children if type(child) is dict or type(child) is list]
        level = below
    return keys


class _Doubled:
    """Marks an object that has a key twice."""


def _refuse_doubled_keys(data: bytes) -> None:
    def pairs(items: list[tuple[str, Any]]) -> Any:
        found = dict(items)
        return found if len(found) == len(items) else _Doubled()

    try:
        tree = json.loads(data, object_pairs_hook=pairs, parse_float=str, parse_int=str)
    except (ValueError, RecursionError):  # msgspec has read it, so this is about limits of the other parser
        raise _too_deep() from None
    place = _find_doubled(tree, "$")
    if place is not None:
        raise InvalidRequest(f"an object has a key twice at {place}", location=place)


def _find_doubled(tree: Any, path: str) -> str | None:
    if isinstance(tree, _Doubled):
        return path
    if isinstance(tree, dict):
        children = ((f".{key}" if _PLAIN_KEY.fullmatch(key) else ".?", child) for key, child in tree.items())
    elif isinstance(tree, list):
        children = ((f"[{index}]", child) for index, child in enumerate(tree))
    else:
        return None
    return next((place for step, child in children if (place := _find_doubled(child, path + step))), None)


def _malformed(text: str, data: bytes) -> InvalidRequest:
    offset = _OFFSET.search(text)
    if "surrogate" in text or ("truncated" in text and _whole(data)):
        return InvalidRequest(
            "a string in the JSON has half of a surrogate pair",
            location=f"byte {offset[1]}" if offset is not None else None,
        )
    if offset is not None:
        return InvalidRequest(f"the JSON is malformed at byte {offset[1]}", location=f"byte {offset[1]}")
    if "truncated" in text:
        return InvalidRequest("the JSON ends too early")
    return InvalidRequest("the JSON holds a number that is out of range")


def _whole(data: bytes) -> bool:
    """Say whether the other parser, which takes half of a surrogate pair, finds an end to the JSON."""
    try:
        json.loads(data, parse_float=str, parse_int=str)
    except (ValueError, RecursionError):
        return False
    return True


def _too_deep() -> InvalidRequest:
    return InvalidRequest(f"the JSON nests deeper than {DEPTH} levels")
