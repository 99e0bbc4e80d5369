"""Criteria that are answered by a look at the content: a function that statements call for each candidate."""

from __future__ import annotations

from typing import Any, Final

import apsw

from hawsepipe.fhir import codec
from hawsepipe.fhir.content import Test
from hawsepipe.store.sqlite.binding import Bindings
from hawsepipe.store.sqlite.schema import VERSION_BITS

_CONTENT: Final = (
    f"SELECT opened(v.content, v.key) FROM version v WHERE v.key = ((r.key << {VERSION_BITS}) | r.version)"  # noqa: S608  constants
)


def register(connection: apsw.Connection) -> None:
    """Give a connection the function that compiled conditions call."""
    connection.create_scalar_function("looked_at", _looked_at, 2)


def condition(test: Test, bindings: Bindings) -> str:
    """Return a condition on the row `r` of table resource."""
    return f"looked_at({bindings.pointer(test)}, ({_CONTENT}))"


def _looked_at(*arguments: Any) -> int:
    test, content = arguments
    return 0 if content is None else int(test(codec.decode(content)))
