"""Functions of ours that SQLite calls from statements: what opens content, looks at it, and knows a patient's group."""

from __future__ import annotations

from typing import Any

import apsw

from hawsepipe.fhir import codec
from hawsepipe.store.sql import kept
from hawsepipe.store.sql.formulas import Groups
from hawsepipe.store.vault import Vault


def register(connection: apsw.Connection, vault: Vault) -> None:
    """Give a connection the functions.

    `unsealed(key, body, digest)` opens messages, `opened(content, row key)` versions: those that hold a message as
    received.
    """

    def unsealed(*values: Any) -> Any:
        name, body, digest = values
        return body if name is None else vault.open(name, body, digest)

    def opened(*values: Any) -> Any:
        content, key = values
        return kept.opened(vault, content, key)

    connection.create_scalar_function("unsealed", unsealed, 3)
    connection.create_scalar_function("opened", opened, 2)
    connection.create_scalar_function("looked_at", _looked_at, 2)
    connection.create_scalar_function("group_of", _group_of, 2, deterministic=True)


def _looked_at(*arguments: Any) -> int:
    test, content = arguments
    return 0 if content is None else int(test(codec.decode(content)))


def _group_of(*arguments: Any) -> int | None:
    groups, patient = arguments
    assert isinstance(groups, Groups)
    return groups.number(patient)
