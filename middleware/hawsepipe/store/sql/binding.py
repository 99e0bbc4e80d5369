"""Values for the statements of one search, and what they tell the planner.

Every value of a query is bound, none becomes part of the text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from hawsepipe.model import Resource


class Bindings(Protocol):
    """Named parameters of the statements of one search; each method returns SQL that stands for a value.

    `values` are the values. `fence` ends a subquery that is asked of a candidate, so that it stays one; `counts`: a
    function of ours says in which of many groups a patient is; `longest`: so many characters of a string an index has.
    """

    values: dict[str, Any]
    fence: str
    counts: bool
    longest: int | None

    def bind(self, value: str | int | bytes | None) -> str:
        """Bind one value."""
        ...

    def members(self, values: Iterable[str]) -> str:
        """Bind any number of texts as the right side of IN."""
        ...

    def keys(self, values: Iterable[int]) -> str:
        """Bind any number of keys as a table `k` with a column `value`."""
        ...

    def pointer(self, value: object) -> str:
        """Bind a Python object for a function of ours; SQL sees NULL."""
        ...

    def symbol(self, text: str) -> str:
        """Stand for the number of an interned text; NULL, which equals nothing, when there is none."""
        ...

    def probed(self, column: str) -> str:
        """Return a column such that no index of it is used."""
        ...

    def indexed(self, column: str) -> str:
        """Return a column as its index has it."""
        ...

    def fit(self, text: str) -> str:
        """Return a text as columns with an index hold it."""
        ...

    def looked(self, test: Callable[[Resource], bool], candidates: Callable[[], tuple[str, str]]) -> str:
        """Return the condition on `r` that its content meets a test. `candidates` gives the FROM and the WHERE of what
        can be `r`.
        """
        ...


def joined(operator: str, parts: Sequence[str]) -> str:
    """Join conditions by AND or OR into a balanced tree: SQLite limits the depth of an expression, not its size."""
    if len(parts) == 1:
        return parts[0]
    middle = len(parts) // 2
    return f"({joined(operator, parts[:middle])} {operator} {joined(operator, parts[middle:])})"
