"""Canonical bytes of JSON, the form that is hashed.

UTF-8 without whitespace; the keys of every object sorted by code point; lists in order; numbers lexeme for lexeme as in
the content; strings in raw UTF-8 with only `\\"`, `\\\\`, `\\b`, `\\t`, `\\n`, `\\f`, `\\r` escaped, and `\\u00xx`
(lower-case hex) for the other characters below U+0020. Content with a key twice in one object, or with a lone
surrogate, has no canonical form. A verifier makes the same bytes with a standard library alone.
"""

from __future__ import annotations

import json
import re
from hashlib import sha256
from typing import Any

import msgspec

from hawsepipe.errors import InvalidRequest
from hawsepipe.fhir.codec import DIGITS, read
from hawsepipe.model import Resource

_MINUS_ZERO = re.compile(rb"-0(?![.0-9eE])")


def canonical(content: bytes) -> bytes:
    """Return the canonical form of any JSON value. Raises InvalidRequest as `codec.decode` does."""
    return _SORTED.encode(_tree(content))


def static(content: bytes) -> bytes:
    """Return the canonical form of a resource without its own `meta` and `text` (those inside contained ones stay)."""
    return forms(content)[1]


def forms(content: bytes) -> tuple[bytes, bytes]:
    """Return `canonical` and `static` of a resource, which is read once for both."""
    tree = _tree(content)
    if type(tree) is not dict:
        raise InvalidRequest("the JSON is not an object")
    whole = _SORTED.encode(tree)
    tree.pop("meta", None)
    tree.pop("text", None)
    return whole, _SORTED.encode(tree)


def written(resource: Resource) -> tuple[bytes, bytes]:
    """Return `canonical` and `static` of what `codec.encode` makes of a resource that `codec.decode` gave."""
    unmoved = {key: value for key, value in resource.items() if key not in ("meta", "text")}
    return _SORTED.encode(resource), _SORTED.encode(unmoved)


def member(name: str, value: Any) -> bytes:
    """Return an element that `codec.decode` gave as the canonical form of its resource has it: `"name":value`."""
    return _SORTED.encode({name: value})[1:-1]


def digest(form: bytes) -> bytes:
    """Return the SHA-256 of a canonical form."""
    return sha256(form).digest()


def digests(content: bytes) -> tuple[bytes, bytes]:
    """Return the SHA-256 of `canonical` and of `static` of a resource."""
    whole, unmoved = forms(content)
    return digest(whole), digest(unmoved)


def _lexeme(text: str) -> msgspec.Raw:
    if len(text) > DIGITS:
        raise msgspec.DecodeError
    return msgspec.Raw(text)


_EXACT = msgspec.json.Decoder(float_hook=_lexeme)
_SORTED = msgspec.json.Encoder(order="sorted", decimal_format="number")


def _tree(content: bytes) -> Any:
    tree = read(content, _EXACT)
    if _MINUS_ZERO.search(content) is None:
        return tree
    # msgspec reads the integer -0 as 0; the standard library hands out its lexeme. The grammar has been checked by
    # `read`.
    return json.loads(content, parse_float=msgspec.Raw, parse_int=msgspec.Raw)
