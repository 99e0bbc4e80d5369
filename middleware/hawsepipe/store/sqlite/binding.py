"""How the values of a search are bound in SQLite, and what keeps it to our plan."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any, Final

import apsw

from hawsepipe.model import Resource
from hawsepipe.store.sql.connection import VERSION_BITS

_CONTENT: Final = (
    f"SELECT opened(v.content, v.key) FROM version v WHERE v.key = ((r.key << {VERSION_BITS}) | r.version)"  # noqa: S608  constants
)


class Bindings:
    """See `store.sql.binding.Bindings`."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.fence = ""
        self.counts = True
        self.longest: int | None = None

    def bind(self, value: str | int | bytes | None) -> str:
        """Bind one value."""
        name = f"v{len(self.values)}"
        self.values[name] = value
        return f":{name}"

    def members(self, values: Iterable[str]) -> str:
        """Bind any number of texts as the right side of IN."""
        return f"(SELECT value FROM json_each({self.bind(json.dumps(list(values)))}))"  # noqa: S608  bound

    def keys(self, values: Iterable[int]) -> str:
        """Bind any number of keys as a table `k` with a column `value`."""
        return f"json_each({self.bind(json.dumps(list(values)))}) k"

    def pointer(self, value: object) -> str:
        """Bind a Python object for a function of ours; SQL sees NULL."""
        name = f"v{len(self.values)}"
        self.values[name] = apsw.pyobject(value)
        return f":{name}"

    def symbol(self, text: str) -> str:
        """Stand for the number of an interned text; NULL, which equals nothing, when there is none."""
        return f"(SELECT key FROM symbol WHERE text = {self.bind(text)})"  # noqa: S608  bound

    def probed(self, column: str) -> str:
        """Return a column such that no index of it is used: a sign before it tells SQLite so."""
        return f"+{column}"

    def indexed(self, column: str) -> str:
        """Return a column as its index has it: as it is."""
        return column

    def fit(self, text: str) -> str:
        """Return a text as columns with an index hold it: as it is."""
        return text

    def looked(self, test: Callable[[Resource], bool], candidates: Callable[[], tuple[str, str]]) -> str:
        """Return the condition on `r` that its content meets a test: a function is asked for each candidate."""
        return f"looked_at({self.pointer(test)}, ({_CONTENT}))"
