"""The log as tiles, at the paths that C2SP names: https://c2sp.org/tlog-tiles.

A tile of level L and number N has the hashes of level 8·L from 256·N on, 256 of them, or W in a partial one. Pure.
"""

from __future__ import annotations

import re
from typing import Final

from hawsepipe.ledger.merkle import Coordinate

WIDTH: Final = 256
HEIGHT: Final = 8
_PATH: Final = re.compile(r"(0|[1-9][0-9]?)/((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?")


def path(level: int, number: int, width: int = WIDTH) -> str:
    """Return the path of a tile below `tile/`: the number in groups of three digits, all but the last with an x."""
    groups = [f"{number % 1000:03}"]
    while number := number // 1000:
        groups.insert(0, f"x{number % 1000:03}")
    return f"{level}/{'/'.join(groups)}{'' if width == WIDTH else f'.p/{width}'}"


def parsed(text: str) -> tuple[int, int, int] | None:
    """Return level, number and width of a tile's path, None when no tile has it."""
    found = _PATH.fullmatch(text)
    if found is None or len(found[2]) > 24:
        return None
    level, number, width = int(found[1]), int(re.sub("[x/]", "", found[2])), int(found[3] or WIDTH)
    if level * HEIGHT >= 64 or width > WIDTH or path(level, number, width) != text:
        return None
    return level, number, width


def places(level: int, number: int, width: int, size: int) -> tuple[Coordinate, ...] | None:
    """Return where the hashes of a tile are in a log of this size; None when the log has not got all of them."""
    first = number * WIDTH
    if (first + width) << (level * HEIGHT) > size:
        return None
    return tuple((level * HEIGHT, first + place) for place in range(width))
