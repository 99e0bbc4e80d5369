"""JSON Schemas, mapping tables and R4 definitions as data. `load(name)` gives one."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

__all__ = ["load", "names"]


def names() -> tuple[str, ...]:
    """Return the names that `load` knows, sorted (`config.schema.json`, `r4/elements.json`, …)."""
    root = files(__name__)
    found = [entry.name for entry in root.iterdir() if entry.name.endswith(".json")]
    for folder in root.iterdir():
        if folder.is_dir():
            found += [f"{folder.name}/{entry.name}" for entry in folder.iterdir() if entry.name.endswith(".json")]
    return tuple(sorted(found))


def load(name: str) -> Any:
    """Return a JSON document of this package. Raises KeyError for a name that `names()` does not list."""
    if name not in names():
        raise KeyError(name)
    return json.loads(files(__name__).joinpath(name).read_text(encoding="utf-8"))
