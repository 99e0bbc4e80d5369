"""The outbox and the log. A commitment's place in the outbox tells its place in the log, so entering it moves no row:
the log has the outbox's order, with a state leaf after each batch (`statemap`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Final

from hawsepipe.errors import Conflict
from hawsepipe.model import Anchor, Checkpoint, Receipt
from hawsepipe.store.sequencing import Sequenced
from hawsepipe.store.sql import statemap
from hawsepipe.store.sql.connection import Connection
from hawsepipe.store.sql.pen import Pen

_LEVEL_BITS: Final = 56
_LEAF = b"\x00"
_EVER: Final = 2**63 - 1
_RECEIPTED: Final = " AND EXISTS (SELECT 1 FROM receipt WHERE channel = c.channel AND size = c.size AND backend = ?)"


def enqueue(pen: Pen, commitments: Sequence[tuple[int, bytes, int]]) -> None:
    """Put commitments into the outbox by their places in it, with the row keys of what they commit to."""
    pen.connection.insert("leaf", ("sequence", "commitment", "version"), commitments)


def put_leaf(pen: Pen, commitment: bytes) -> None:
    """Put a commitment into the outbox that is of no version."""
    leaves = pen.state.leaves + 1
    pen.connection.insert("leaf", ("sequence", "commitment"), [(leaves, commitment)])
    pen.count(leaves=leaves)


def outbox(connection: Connection, limit: int) -> tuple[Anchor, ...]:
    """Return the oldest commitments that are not in the log."""
    return statemap.anchors(connection, connection.execute("SELECT log_size FROM state").get, _EVER, limit)


def sequence(pen: Pen, batch: Sequenced) -> None:
    """Write a batch to the log. Raises Conflict unless it continues the log with the oldest of the outbox, and unless
    the map holds all before it if it has a state leaf.
    """
    logged = pen.state.log_size
    size = statemap.tree_size(pen.connection, logged)
    if batch.start != size:
        raise Conflict(f"the batch starts at {batch.start}, the log has {size} leaves")
    upto = logged + len(batch.anchors)
    after = size + len(batch.anchors) + (batch.state is not None)
    rows = pen.connection.execute(
        "SELECT sequence, commitment FROM leaf WHERE sequence > ? AND sequence <= ? ORDER BY sequence", (logged, upto)
    )
    if [(anchor.sequence, anchor.digest) for anchor in batch.anchors] != [tuple(row) for row in rows]:
        raise Conflict("the batch does not hold the oldest commitments of the outbox")
    if batch.checkpoint.size != after:
        raise Conflict(f"the checkpoint says {batch.checkpoint.size} leaves, the log would have {after}")
    if batch.state is not None:
        if statemap.charted(pen) != logged or not batch.anchors:
            raise Conflict("the current-state map is not as far as the log, or there is nothing new in it")
        statemap.write(pen, batch.pages, after, batch.since)
        statemap.seal(pen, batch.state, after, upto)
    pen.connection.executemany(
        "INSERT INTO node (key, hash) VALUES (?, ?)",
        [((level << _LEVEL_BITS) | index, digest) for (level, index), digest in batch.nodes],
    )
    head = batch.checkpoint
    pen.connection.execute(
        "INSERT INTO checkpoint (channel, size, root, note) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (channel, size) DO UPDATE SET root = excluded.root, note = excluded.note",
        (head.channel, head.size, head.root, head.note),
    )
    pen.count(log_size=upto)


def checkpoint(connection: Connection, channel: str, backend: str | None = None) -> Checkpoint | None:
    """Return the newest checkpoint, of those that `backend` has receipted if that is given."""
    receipted = _RECEIPTED if backend is not None else ""
    row = connection.execute(
        f"SELECT size, root, note FROM checkpoint c WHERE channel = ?{receipted} ORDER BY size DESC LIMIT 1",  # noqa: S608  two constants
        (channel,) if backend is None else (channel, backend),
    ).fetchone()
    return None if row is None else Checkpoint(channel, *row)


def checkpoint_covering(connection: Connection, channel: str, index: int, backend: str | None) -> Checkpoint | None:
    """Return the smallest checkpoint above leaf `index`, one that `backend` has receipted if that is given."""
    receipted = _RECEIPTED if backend is not None else ""
    row = connection.execute(
        f"SELECT size, root, note FROM checkpoint c WHERE channel = ? AND size > ?{receipted} ORDER BY size LIMIT 1",  # noqa: S608  two constants
        (channel, index) if backend is None else (channel, index, backend),
    ).fetchone()
    return None if row is None else Checkpoint(channel, *row)


def nodes(connection: Connection, coordinates: Sequence[tuple[int, int]]) -> Mapping[tuple[int, int], bytes]:
    """Return hashes by (level, index); what is not in the log yet is left out."""
    logged = connection.execute("SELECT log_size FROM state").get
    found: dict[tuple[int, int], bytes] = {}
    for level, index in coordinates:
        if level == 0:
            leaf = statemap.commitment_at(connection, index, logged)
            if leaf is not None:
                found[level, index] = sha256(_LEAF + leaf).digest()
        else:
            key = (level << _LEVEL_BITS) | index
            digest = connection.execute("SELECT hash FROM node WHERE key = ?", (key,)).get
            if digest is not None:
                found[level, index] = digest
    return found


def leaf_index(connection: Connection, commitment: bytes) -> int | None:
    """Return where a commitment is in the log."""
    place = connection.execute(
        "SELECT min(sequence) FROM leaf WHERE substr(commitment, 1, 8) = ? AND commitment = ?"
        " AND sequence <= (SELECT log_size FROM state)",
        (commitment[:8], commitment),
    ).get
    return None if place is None else statemap.tree_size(connection, int(place) - 1)


def in_outbox(connection: Connection, commitment: bytes) -> bool:
    """Return whether a commitment waits for its place in the log."""
    return bool(
        connection.execute(
            "SELECT EXISTS (SELECT 1 FROM leaf WHERE substr(commitment, 1, 8) = ? AND commitment = ?"
            " AND sequence > (SELECT log_size FROM state))",
            (commitment[:8], commitment),
        ).get
    )


def put_receipt(pen: Pen, receipt: Receipt) -> None:
    """Keep a receipt; a later one of the same backend for the same checkpoint takes the place of the earlier."""
    pen.connection.execute(
        "INSERT INTO receipt (channel, size, backend, root, position, proof) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (channel, size, backend)"
        " DO UPDATE SET root = excluded.root, position = excluded.position, proof = excluded.proof",
        (
            receipt.channel,
            receipt.size,
            receipt.backend,
            receipt.root,
            receipt.position,
            json.dumps(receipt.proof, ensure_ascii=False),
        ),
    )


def receipts(connection: Connection, channel: str, size: int) -> tuple[Receipt, ...]:
    """Return every backend's receipt for a checkpoint."""
    rows = connection.execute(
        "SELECT backend, root, position, proof FROM receipt WHERE channel = ? AND size = ? ORDER BY backend",
        (channel, size),
    )
    return tuple(
        Receipt(backend, channel, size, root, position, json.loads(proof)) for backend, root, position, proof in rows
    )


def anchored(connection: Connection, channel: str, backends: Sequence[str]) -> int:
    """Return up to which place of the outbox each of these backends has receipted; without any, it is in the log."""
    if not backends:
        return int(connection.execute("SELECT log_size FROM state").get)
    sizes = [
        connection.execute("SELECT max(size) FROM receipt WHERE channel = ? AND backend = ?", (channel, name)).get
        for name in backends
    ]
    return statemap.upto(connection, min(int(size or 0) for size in sizes))
