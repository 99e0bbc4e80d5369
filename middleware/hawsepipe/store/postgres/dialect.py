"""Statements of `store.sql` in PostgreSQL's words: a few rules, each for something that only SQLite says so.

* `INDEXED BY …` is left out and `CROSS JOIN … ON` is `JOIN … ON`: connections are set to join in the order of the text.
* `IN (SELECT value FROM json_each(?))` is `= ANY(?)`; the value is an array.
* `(SELECT value FROM json_each(?)) k` is a table of numbers; `json_each(?) AS named` one of JSON, with places as `key`.
* `opened(content, key)` and `unsealed(sealed, body, digest)` bring what is needed to open a value; `Connection` does.
* `?`, `?1` and `:name` are `$1`.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final, NamedTuple

_VALUE: Final = r"(\?\d*|:\w+(?:::\w+(?:\[\])?)?)"
_MEMBERS: Final = rf"\(SELECT value FROM json_each\({_VALUE}\)\)"  # noqa: S608  a pattern
_RULES: Final = (
    (re.compile(r" INDEXED BY \w+"), ""),
    (re.compile(r"\bCROSS JOIN\b"), "JOIN"),
    (re.compile(rf"\bNOT IN {_MEMBERS}"), r"<> ALL(\1)"),
    (re.compile(rf"\bIN {_MEMBERS}"), r"= ANY(\1)"),
    (re.compile(rf"{_MEMBERS} k\b"), r"unnest(\1::bigint[]) AS k(value)"),
    (
        re.compile(rf"\bjson_each\({_VALUE}\) AS named\b"),
        r"(SELECT ordinality - 1 AS key, value FROM json_array_elements(\1::json) WITH ORDINALITY) AS named",
    ),
    (re.compile(r"\bopened\(([\w.]+), ([\w.]+)\)"), r'int8send(\2) || \1 AS "opened \1"'),
    (
        re.compile(r"\bunsealed\(([\w.]+), ([\w.]+), ([\w.]+)\)"),
        r"""convert_to(coalesce(\1, '') || chr(10), 'UTF8') || \3 || \2 AS "unsealed" """,
    ),
)
_WORDS: Final = re.compile(r"'(?:[^']|'')*'|(?<![:\w]):([a-z]\w*)|\?(\d*)")


class Said(NamedTuple):
    """A statement, and which of the values (by place or name) it has for `$1`, `$2` …"""

    text: str
    values: tuple[int | str, ...]

    def arranged(self, values: Any) -> list[Any]:
        """Return values in the order of the statement."""
        return [values[place] for place in self.values]


@lru_cache(2000)
def said(statement: str) -> Said:
    """Return a statement in PostgreSQL's words."""
    for rule, words in _RULES:
        statement = rule.sub(words, statement)
    order: list[int | str] = []
    places: dict[int | str, int] = {}

    def numbered(match: re.Match[str]) -> str:
        name, number = match[1], match[2]
        if name is None and number is None:
            return match[0]
        value: int | str = name or (int(number) - 1 if number else len(order))
        if value not in places:
            order.append(value)
            places[value] = len(order)
        return f"${places[value]}"

    return Said(_WORDS.sub(numbered, statement), tuple(order))
