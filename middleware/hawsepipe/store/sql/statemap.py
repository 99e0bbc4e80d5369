"""The pages of the current-state map and the leaves that seal it.

A page that changes gets a new row, so that what has been sealed can be shown as long as somebody may ask for it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from hawsepipe.errors import Conflict
from hawsepipe.model import Anchor
from hawsepipe.store.sequencing import MapPage, StateLeaf, place_of
from hawsepipe.store.sql.connection import VERSION_BITS, Connection
from hawsepipe.store.sql.pen import Pen

_ANCHORS: Final = (
    "SELECT l.sequence, l.commitment, s.text, r.id FROM leaf AS l"  # noqa: S608  our own constant
    f" LEFT JOIN resource AS r ON r.key = l.version >> {VERSION_BITS} LEFT JOIN symbol AS s ON s.key = r.type"
    " WHERE l.sequence > ? AND l.sequence <= ? ORDER BY l.sequence LIMIT ?"
)
_NEWEST: Final = (
    "SELECT named.key, s.page FROM json_each(?) AS named CROSS JOIN spot AS s ON s.path = named.value ->> 0"
    " AND s.size = (SELECT max(size) FROM spot WHERE path = named.value ->> 0 AND size <= ?)"
)
_WRITE: Final = (
    "INSERT INTO spot (path, size, page) VALUES (?, ?, ?) ON CONFLICT (path, size) DO UPDATE SET page = excluded.page"
)
_FORGET: Final = "DELETE FROM spot WHERE path = ? AND size < (SELECT max(size) FROM spot WHERE path = ? AND size <= ?)"
_EVER: Final = 2**63 - 1


def anchors(connection: Connection, after: int, last: int, limit: int) -> tuple[Anchor, ...]:
    """Return commitments with a place in the outbox above `after`, up to `last`, in order."""
    return tuple(
        Anchor(sequence, commitment, b"" if id_ is None else place_of(type_, id_))
        for sequence, commitment, type_, id_ in connection.execute(_ANCHORS, (after, last, max(limit, 0)))
    )


def uncharted(connection: Connection, limit: int) -> tuple[Anchor, ...]:
    """Return the oldest commitments of the log that the map does not hold."""
    charted, logged = connection.execute("SELECT charted, log_size FROM state").get
    return anchors(connection, charted, logged, limit)


def chart(pen: Pen, upto: int, pages: Sequence[MapPage]) -> None:
    """Write pages as of before every state leaf."""
    if pen.connection.execute("SELECT EXISTS (SELECT 1 FROM sealed)").get or upto > pen.state.log_size:
        raise Conflict("the current-state map is sealed already")
    write(pen, pages, 0, 0)
    pen.connection.execute("UPDATE state SET charted = ?", (upto,))


def write(pen: Pen, pages: Iterable[MapPage], size: int, since: int) -> None:
    """Write pages as of a size; those that were overtaken before `since` go."""
    rows = list(pages)
    pen.connection.executemany(_WRITE, [(path, size, page) for path, page in rows])
    pen.connection.executemany(_FORGET, [(path, path, min(since, size)) for path, _ in rows])


def seal(pen: Pen, leaf: StateLeaf, size: int, upto: int) -> None:
    """Write a state leaf that makes the log's size `size`, after the outbox's place `upto`."""
    pen.connection.execute(
        "INSERT INTO sealed (sequence, size, root, commitment, opening, salt) VALUES (?, ?, ?, ?, ?, ?)",
        (upto, size, leaf.root, leaf.commitment, leaf.opening, leaf.salt),
    )
    pen.connection.execute("UPDATE state SET charted = ?", (upto,))


def charted(pen: Pen) -> int:
    """Return up to which place of the outbox the map holds everything."""
    return int(pen.connection.execute("SELECT charted FROM state").get)


def pages(connection: Connection, places: Sequence[bytes], size: int | None) -> Mapping[str, bytes]:
    """Return the pages on the ways to these places: one statement for each step of the ways."""
    found: dict[str, bytes] = {}
    bound = _EVER if size is None else size
    digits = [place.hex() for place in places]
    depth = 0
    while digits:
        paths = list(dict.fromkeys([it[:depth] for it in digits]))
        asked = json.dumps([[path] for path in paths])
        found.update([(paths[place], page) for place, page in connection.execute(_NEWEST, (asked, bound))])
        digits = [it for it in digits if it[:depth] in found and depth + 1 < len(it)]
        depth += 1
    return found


def state_leaf(connection: Connection, size: int) -> StateLeaf | None:
    """Return the state leaf that is the last leaf of the log of this size."""
    row = connection.execute("SELECT commitment, opening, salt, root FROM sealed WHERE size = ?", (size,)).fetchone()
    return None if row is None else StateLeaf(*row)


def tree_size(connection: Connection, upto: int) -> int:
    """Return how many leaves the log has once it holds the outbox's places up to `upto`, state leaves before it too."""
    row = connection.execute(
        "SELECT size, sequence FROM sealed WHERE sequence <= ? ORDER BY sequence DESC LIMIT 1", (upto,)
    ).fetchone()
    return upto if row is None else int(row[0] + upto - row[1])


def upto(connection: Connection, size: int) -> int:
    """Return up to which place of the outbox the log of this size holds it."""
    row = connection.execute(
        "SELECT size, sequence FROM sealed WHERE size <= ? ORDER BY size DESC LIMIT 1", (size,)
    ).fetchone()
    return size if row is None else int(row[1] + size - row[0])


def commitment_at(connection: Connection, index: int, logged: int) -> bytes | None:
    """Return the commitment with this index in a log that holds the outbox's places up to `logged`."""
    found: bytes | None = connection.execute("SELECT commitment FROM sealed WHERE size = ?", (index + 1,)).get
    if found is None and index >= 0:
        place = upto(connection, index) + 1
        if place <= logged:
            found = connection.execute("SELECT commitment FROM leaf WHERE sequence = ?", (place,)).get
    return found
