"""How the values of a search are bound in PostgreSQL, and what keeps its planner to our plan."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import sha256
from typing import Any, Final, Protocol

from hawsepipe.fhir import codec
from hawsepipe.model import Resource
from hawsepipe.store.sql.connection import VERSION_BITS, Rows

LONGEST: Final = 400
"""Characters of a text that an index holds: PostgreSQL refuses longer ones. What is longer is known by its digest."""

_TYPES: Final = {str: "text", int: "bigint", bytes: "bytea"}
_HIDDEN: Final = {
    "code": "(code || '')",
    "exact": "(exact || '')",
    "normal": f"(left(normal, {LONGEST}) || '')",
    "uri": "(uri || '')",
    "high": "(high + 0)",
    "low": "(low + 0)",
    "r.type": "(r.type + 0)",
    "r.deleted": "(r.deleted + 0)",
    "deleted": "(deleted + 0)",
}


class Asked(Protocol):
    """What bindings ask of their connection."""

    def execute(self, statements: str, bindings: Any = None, /) -> Rows: ...

    def number(self, text: str) -> int | None:
        """Return the number of an interned text."""
        ...


class Bindings:
    """See `store.sql.binding.Bindings`."""

    def __init__(self, connection: Asked) -> None:
        self._connection = connection
        self._symbols: dict[str, str] = {}
        self.values: dict[str, Any] = {}
        self.fence = " OFFSET 0"
        self.counts = False
        self.longest: int | None = LONGEST

    def _bound(self, value: Any, kind: str) -> str:
        name = f"v{len(self.values)}"
        self.values[name] = value
        return f":{name}::{kind}"

    def bind(self, value: str | int | bytes | None) -> str:
        """Bind one value."""
        return "NULL" if value is None else self._bound(value, _TYPES[type(value)])

    def members(self, values: Iterable[str]) -> str:
        """Bind any number of texts as the right side of IN."""
        return f"(SELECT value FROM json_each({self._bound(list(values), 'text[]')}))"  # noqa: S608  bound

    def keys(self, values: Iterable[int]) -> str:
        """Bind any number of keys as a table `k` with a column `value`."""
        return f"unnest({self._bound(list(values), 'bigint[]')}) AS k(value)"

    def pointer(self, value: object) -> str:
        """Refuse: no function of ours is called by PostgreSQL. Raises TypeError."""
        raise TypeError("PostgreSQL calls no function of ours")

    def symbol(self, text: str) -> str:
        """Stand for the number of an interned text, which the planner so knows."""
        known = self._symbols.get(text)
        if known is None:
            number = self._connection.number(text)
            known = self._symbols[text] = "NULL::bigint" if number is None else self._bound(number, "bigint")
        return known

    def probed(self, column: str) -> str:
        """Return a column such that no index of it is used: an expression is none."""
        # `value` is a text or bytes, by the table: to both nothing can be added.
        return _HIDDEN.get(column, f"hidden({column})")

    def indexed(self, column: str) -> str:
        """Return a column as its index has it."""
        return f"left(normal, {LONGEST})" if column == "normal" else column

    def fit(self, text: str) -> str:
        """Return a text as columns with an index hold it."""
        return fit(text)

    def looked(self, test: Callable[[Resource], bool], candidates: Callable[[], tuple[str, str]]) -> str:
        """Return the condition on `r` that its content meets a test: what can be it is read, and looked at."""
        tables, where = candidates()
        rows = self._connection.execute(
            f"SELECT r.key, opened(held.content, held.key) FROM {tables}"  # noqa: S608  bound
            f" JOIN version held ON held.key = ((r.key << {VERSION_BITS}) | r.version) WHERE {where}",
            self.values,
        )
        found = [key for key, content in rows if content is not None and test(codec.decode(content))]
        return f"r.key = ANY({self._bound(found, 'bigint[]')})"


def fit(text: str) -> str:
    """Return a text as columns with an index hold it: a long one by its beginning and its digest."""
    if "\0" in text:
        text = text.replace("\0", "\ufffd")
    if len(text) <= LONGEST:
        return text
    return text[: LONGEST - 64] + sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
