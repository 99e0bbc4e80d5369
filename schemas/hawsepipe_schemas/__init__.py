"""JSON Schemas, mapping tables and R4 definitions as data. `load(name)` gives one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

__all__ = ["load", "names"]

_KNOWN = re.compile(r"(?:[A-Za-z0-9_-]+/)*[A-Za-z0-9_.-]+\.json")


def names() -> tuple[str, ...]:
    """Return the names that `load` knows, sorted (`config.schema.json`, `r4/elements.json`, …)."""
    return tuple(sorted(_found(files(__name__), "")))


def _found(folder: Traversable, prefix: str) -> Iterator[str]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _found(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith(".json"):
            yield prefix + entry.name


def load(name: str) -> Any:
    """Return a JSON document of this package. Raises KeyError for a name that `names()` does not list."""
    if not _KNOWN.fullmatch(name) or not files(__name__).joinpath(name).is_file():
        raise KeyError(name)
    return json.loads(files(__name__).joinpath(name).read_text(encoding="utf-8"))
