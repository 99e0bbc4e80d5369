"""What goes between the service and a worker: a length of 8 bytes, then a pickle, or effects as MessagePack.

Both ends are this program, on one machine, over a socket that nobody else has: nothing from outside is ever unpickled.
"""

from __future__ import annotations

import pickle
from typing import Any, Final

import msgspec

from hawsepipe.intake.effects import Effect

LENGTH: Final = 8

_PICKLE: Final = b"\x80"
"""How a pickle begins, and no list in MessagePack."""

_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(list[Effect])


def framed(value: Any) -> bytes:
    """Return a value as a frame."""
    return _frame(pickle.dumps(value, protocol=5))


class _Pieces(list[bytes]):
    """Takes what a pickler writes: what is large comes in a piece of its own, not copied."""

    write = list.append


def pieces(value: Any) -> list[bytes]:
    """Return a value as a frame in pieces: large contents are those of the value."""
    found = _Pieces()
    pickle.dump(value, found, protocol=5)
    return [sum(map(len, found)).to_bytes(LENGTH, "big"), *found]


def value(body: bytes) -> Any:
    """Return what a frame holds, without its length."""
    return pickle.loads(body)  # noqa: S301  written by our own other half, see above


def answered(effects: list[Effect]) -> bytes:
    """Return effects as a frame: a message makes hundreds of small values, which take a pickle three times as long."""
    try:
        return _frame(_ENCODER.encode(effects))
    except (TypeError, ValueError, OverflowError):  # half of a surrogate pair in a label, or another oddity
        return framed(effects)


def effects(body: bytes) -> list[Effect]:
    """Return the effects that a frame holds, without its length. Raises ValueError for something else."""
    if body.startswith(_PICKLE):
        held: list[Effect] = value(body)
        return held
    return _DECODER.decode(body)


def _frame(body: bytes) -> bytes:
    return len(body).to_bytes(LENGTH, "big") + body
