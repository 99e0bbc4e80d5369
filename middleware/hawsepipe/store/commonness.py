"""Parts the facets of a resource into those that many resources have in common and those of its own.

Codes, labels and profiles come together in the same way again and again: resources of one kind, made of messages of one
shape, differ only in whom they name. What they have in common is one text, which a store need not keep twice.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Final

import msgspec

from hawsepipe.visibility import Facets

OWN: Final = frozenset({"author", "ref"})
"""The kinds of facets that name other resources; those of all other kinds are held in common. Part of the stored
format."""

_KEPT: Final = 4096
"""Texts that are remembered."""

_READER: Final = msgspec.json.Decoder(dict[str, frozenset[str]])
_WRITER: Final = msgspec.json.Encoder()


def common(values: Mapping[str, frozenset[str]]) -> bytes:
    """Return the facets of `Facets.values` that resources have in common, as one JSON text; the same for the same
    facets, empty for none.
    """
    return _common(tuple((kind, found) for kind, found in values.items() if kind not in OWN))


def own(values: Mapping[str, frozenset[str]]) -> tuple[tuple[str, str], ...]:
    """Return the other facets as (kind, value), in order."""
    return tuple((kind, value) for kind in sorted(OWN & values.keys()) for value in sorted(values[kind]))


@functools.lru_cache(_KEPT)
def members(text: bytes) -> Mapping[str, frozenset[str]]:
    """Return what `common` made a text of."""
    return _READER.decode(text) if text else {}


def together(
    rank: int | None, start: int | None, end: int | None, text: bytes, others: tuple[tuple[str, str], ...]
) -> Facets:
    """Return the facets that consist of these parts."""
    values = dict(members(text))
    for kind in OWN:
        found = frozenset(value for name, value in others if name == kind)
        if found:
            values[kind] = found
    return Facets(rank, start, end, values)


@functools.lru_cache(_KEPT)
def _common(values: tuple[tuple[str, frozenset[str]], ...]) -> bytes:
    return _WRITER.encode({kind: sorted(found) for kind, found in sorted(values)}) if values else b""
