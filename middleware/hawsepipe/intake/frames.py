"""What goes between the service and a worker: a length of 8 bytes, then a pickle.

Both ends are this program, on one machine, over a socket that nobody else has: nothing from outside is ever unpickled.
"""

from __future__ import annotations

import pickle
from typing import Any, Final

LENGTH: Final = 8


def framed(value: Any) -> bytes:
    """Return a value as a frame."""
    body = pickle.dumps(value, protocol=5)
    return len(body).to_bytes(LENGTH, "big") + body


def value(body: bytes) -> Any:
    """Return what a frame holds, without its length."""
    return pickle.loads(body)  # noqa: S301  written by our own other half, see above
