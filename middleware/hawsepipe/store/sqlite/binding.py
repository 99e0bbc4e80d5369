"""Values for a statement. Every value of a query is bound, none becomes part of the text."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import apsw


class Bindings:
    """Named parameters of the statements of one search; each method returns SQL that stands for a value."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def bind(self, value: str | int | bytes | None) -> str:
        """Bind one value."""
        name = f"v{len(self.values)}"
        self.values[name] = value
        return f":{name}"

    def members(self, values: Iterable[str]) -> str:
        """Bind any number of texts as the right side of IN."""
        return f"(SELECT value FROM json_each({self.bind(json.dumps(list(values)))}))"  # noqa: S608  bound

    def pointer(self, value: object) -> str:
        """Bind a Python object for a function of ours; SQL sees NULL."""
        name = f"v{len(self.values)}"
        self.values[name] = apsw.pyobject(value)
        return f":{name}"

    def symbol(self, text: str) -> str:
        """Stand for the number of an interned text; NULL, which equals nothing, when there is none."""
        return f"(SELECT key FROM symbol WHERE text = {self.bind(text)})"  # noqa: S608  bound


def joined(operator: str, parts: Sequence[str]) -> str:
    """Join conditions by AND or OR into a balanced tree: SQLite limits the depth of an expression, not its size."""
    if len(parts) == 1:
        return parts[0]
    middle = len(parts) // 2
    return f"({joined(operator, parts[:middle])} {operator} {joined(operator, parts[middle:])})"
