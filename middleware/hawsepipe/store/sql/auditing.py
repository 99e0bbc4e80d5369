"""What an auditor reads: rows as they are, with values of whatever type somebody has written into them."""

from __future__ import annotations

from typing import Final

from hawsepipe.model import Checkpoint
from hawsepipe.store.auditing import Logged, Raw
from hawsepipe.store.sequencing import StateLeaf
from hawsepipe.store.sql.connection import VERSION_BITS, Connection
from hawsepipe.store.sql.journal import parts_of

_MASK: Final = (1 << VERSION_BITS) - 1
_LOGGED: Final = (
    "SELECT l.sequence, l.commitment, s.text, r.id, v.key, v.operation, v.patients, v.commitment, v.opening, v.salt,"  # noqa: S608  constants
    " opened(v.content, v.key), r.version FROM leaf AS l LEFT JOIN version AS v ON v.key = l.version"
    f" LEFT JOIN resource AS r ON r.key = l.version >> {VERSION_BITS} LEFT JOIN symbol AS s ON s.key = r.type"
    " WHERE l.sequence > ? ORDER BY l.sequence LIMIT ?"
)


def logged(connection: Connection, after: int, limit: int) -> tuple[Logged, ...]:
    """Return places of the outbox above `after`, in order."""
    found = []
    for row in connection.execute(_LOGGED, (after, limit)):
        sequence, leaf, type_, id_, key, operation, patients, commitment, opening, salt, content, newest = row
        version = None if key is None else key & _MASK
        current = version is not None and version == newest
        told = (operation, patients, commitment, opening, salt, content)
        found.append(Logged(sequence, leaf, type_, id_, version, *told, current))
    return tuple(found)


def state_leaves(connection: Connection, after: int, limit: int) -> tuple[tuple[int, int, StateLeaf], ...]:
    """Return state leaves after sizes above `after`, in order."""
    rows = connection.execute(
        "SELECT size, sequence, commitment, opening, salt, root FROM sealed WHERE size > ? ORDER BY size LIMIT ?",
        (after, limit),
    )
    return tuple((size, sequence, StateLeaf(*rest)) for size, sequence, *rest in rows)


def checkpoints(connection: Connection, channel: str, after: int, limit: int) -> tuple[Checkpoint, ...]:
    """Return checkpoints of sizes above `after`, in order."""
    rows = connection.execute(
        "SELECT size, root, note FROM checkpoint WHERE channel = ? AND size > ? ORDER BY size LIMIT ?",
        (channel, after, limit),
    )
    return tuple(Checkpoint(channel, *row) for row in rows)


def leafless(connection: Connection) -> int:
    """Return how many versions have no leaf that commits to them."""
    return int(
        connection.execute(
            "SELECT count(*) FROM version AS v WHERE NOT EXISTS (SELECT 1 FROM leaf AS l WHERE"
            " substr(l.commitment, 1, 8) = substr(v.commitment, 1, 8) AND l.commitment = v.commitment)"
        ).get
    )


def journalled(connection: Connection, after: int, limit: int) -> tuple[Raw, ...]:
    """Return messages of the journal with a number above `after`, in order."""
    rows = connection.execute(
        "SELECT sequence, digest, unsealed(sealed, body, digest) FROM journal WHERE sequence > ?"
        " ORDER BY sequence LIMIT ?",
        (after, limit),
    )
    return tuple(
        Raw(sequence, digest, body or parts_of(connection, sequence)) for sequence, digest, body in rows.fetchall()
    )
