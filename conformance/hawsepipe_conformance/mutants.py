"""Damage to a document, for verifiers: each mutant is wrong in one place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_ODD: tuple[Any, ...] = (None, True, -1, 0, 1.5, "", "x", "é" * 64, "0" * 64, [], {}, [None], {"a": 1}, 10**30)


def structural(value: Any) -> Iterator[Any]:
    """Yield copies of a JSON value with one thing removed, added or replaced at some place."""
    if isinstance(value, dict):
        yield {**value, "strange": 1}
        for key, inner in value.items():
            yield {name: part for name, part in value.items() if name != key}
            for mutant in structural(inner):
                yield {**value, key: mutant}
    elif isinstance(value, list):
        yield [*value, *value] if value else [None]
        for place, inner in enumerate(value):
            yield value[:place] + value[place + 1 :]
            for mutant in structural(inner):
                yield [*value[:place], mutant, *value[place + 1 :]]
    yield from (item for item in _ODD if item != value or type(item) is not type(value))


def flipped(raw: bytes, *, step: int = 1, first: int = 0) -> Iterator[bytes]:
    """Yield copies with one bit turned over, at every `step`-th byte from `first` on."""
    for place in range(first, len(raw), step):
        mutant = bytearray(raw)
        mutant[place] ^= 1 << (place % 8)
        yield bytes(mutant)
