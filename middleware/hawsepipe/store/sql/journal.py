"""The journal's statements: accept, find, settle, retry."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from io import BytesIO
from typing import Any, Final

from hawsepipe.errors import StoreError
from hawsepipe.fhir.dates import microseconds
from hawsepipe.hooks import Acceptance, Refusal
from hawsepipe.model import RawMessage
from hawsepipe.store.answers import Messages
from hawsepipe.store.contract import JournalEntry, JournalRecord, JournalState, LetterGroup, Letters, Replay, Waiting
from hawsepipe.store.sql.connection import Connection
from hawsepipe.store.sql.instants import instant, optional_instant
from hawsepipe.store.sql.pen import Pen

_COLUMNS = (
    "sequence, feed, key, digest, media_type, received_at, unsealed(sealed, body, digest), reply, state, cause,"
    " location, text, replay_of, label, settled_at, forced"
)
PART: Final = 1 << 18
"""Bytes of a message in one row: a larger one lies in rows of its own, which nothing moves when it is settled."""

_LIVE = (JournalState.RECEIVED.value, JournalState.APPLIED.value, JournalState.HELD.value)


def append(pen: Pen, entry: JournalEntry) -> Acceptance:
    """Journal a message unless one with its identity is alive."""
    message = entry.message
    twin = _live(pen.connection, message.feed, entry.key, message.digest)
    if twin is not None:
        return Acceptance(twin[0], True, twin[1])
    reply, refusal = entry.reply, entry.refusal
    reused = _used(pen.connection, message.feed, entry.key)
    if reused and refusal is None and entry.reuse is not None:
        reply, refusal = entry.reuse.reply, entry.reuse.refusal
    state = JournalState.RECEIVED if refusal is None else JournalState.DEAD
    received = microseconds(message.received_at)
    sequence = _insert(
        pen,
        message,
        received,
        entry.key,
        reply,
        state,
        refusal,
        entry.replay_of,
        "",
        None if refusal is None else received,
    )
    return Acceptance(sequence, False, reply, reused)


Settled = tuple[str, str, str | None, str | None, str | None, int | None, int]
"""What becomes of a message that waits: state, label, a refusal's three parts, when, its sequence."""


def settled(sequence: int, label: str, refusal: Refusal | None, micros: int) -> Settled:
    """Return what takes a message out of state RECEIVED."""
    if refusal is None:
        return JournalState.APPLIED.value, label, None, None, None, micros, sequence
    return JournalState.DEAD.value, label, refusal.cause, refusal.location, refusal.text, micros, sequence


def held(sequence: int, label: str) -> Settled:
    """Return what lets a message wait behind a letter."""
    return JournalState.HELD.value, label, None, None, None, None, sequence


def release(pen: Pen, sequences: Collection[int]) -> None:
    """Let messages that waited be applied again."""
    if sequences:
        pen.connection.execute(
            "UPDATE journal SET state = 'received' WHERE state = 'held'"
            " AND sequence IN (SELECT value FROM json_each(?))",
            (pen.connection.array(sorted(sequences)),),
        )
        pen.count(backlog=pen.state.backlog + pen.connection.changes())


def settle(pen: Pen, messages: Sequence[Settled]) -> None:
    """Write what becomes of messages."""
    pen.connection.executemany(
        "UPDATE journal SET state = ?, label = ?, cause = ?, location = ?, text = ?, settled_at = ?,"
        " leaf = (SELECT coalesce(max(sequence), 0) FROM leaf) WHERE sequence = ? AND state = 'received'",
        messages,
    )


def waiting(connection: Connection, sequences: Sequence[int]) -> set[int]:
    """Return which of these messages wait to be applied."""
    rows = connection.execute(
        "SELECT sequence FROM journal WHERE sequence IN (SELECT value FROM json_each(?)) AND state = 'received'",
        (connection.array(sequences),),
    )
    return {sequence for (sequence,) in rows}


def waiting_by_feed(connection: Connection) -> dict[str, Waiting]:
    """Return how many messages of each feed wait to be applied, and since when."""
    found: dict[str, Waiting] = {}
    # Each state is part of the text, so that its partial index answers without the rows of the journal.
    for state in ("received", "held"):
        rows = connection.execute(
            f"SELECT feed, count(*), min(received_at) FROM journal WHERE state = '{state}' GROUP BY feed"  # noqa: S608  ours
        )
        for feed, count, oldest in rows:
            known = found.get(feed, Waiting(0, instant(oldest)))
            held = known.held + (count if state == "held" else 0)
            found[feed] = Waiting(known.count + count, min(known.oldest, instant(oldest)), held)
    return found


def discard(pen: Pen, sequence: int, micros: int) -> bool:
    """Settle a dead letter as discarded and let go on what waited behind it; False when it is not one."""
    if not _discarded(pen, sequence, micros):
        return False
    freed = pen.lanes.free(sequence)
    pen.lanes.write()
    release(pen, freed)
    return True


def _discarded(pen: Pen, sequence: int, micros: int) -> bool:
    pen.connection.execute(
        "UPDATE journal SET state = 'discarded', settled_at = ? WHERE sequence = ? AND state = 'dead'",
        (micros, sequence),
    )
    return pen.connection.changes() == 1


def replays(connection: Connection, sequences: Sequence[int]) -> dict[int, Replay]:
    """Return by what letters were retried."""
    rows = connection.execute(
        "SELECT r.replay_of, r.sequence, r.digest <> o.digest FROM journal AS r"
        " JOIN journal AS o ON o.sequence = r.replay_of"
        " WHERE r.replay_of IN (SELECT value FROM json_each(?))",
        (connection.array(sorted(sequences)),),
    )
    return {letter: Replay(sequence, bool(mended)) for letter, sequence, mended in rows}


def key_used(connection: Connection, feed: str, key: str, digest: bytes) -> bool:
    """Return whether another message was accepted under a key, and this one was not."""
    return _live(connection, feed, key, digest) is None and _used(connection, feed, key)


def retry(
    pen: Pen, sequence: int, micros: int, body: bytes | None, forced: bool, key: str | None = None
) -> JournalRecord | None:
    """Journal a dead letter, or a mended copy, anew, in its old place of the lanes; the entry that its sender has had
    accepted since, if there is one, is returned.
    """
    letter = record(pen.connection, sequence)
    if letter is None or not _discarded(pen, sequence, micros):
        return None
    message = letter.message if body is None else replace(letter.message, body=body)
    key = letter.key if key is None else key
    twin = _live(pen.connection, message.feed, key, message.digest)
    if twin is not None:
        freed = pen.lanes.free(sequence)
        pen.lanes.write()
        release(pen, freed)
        return record(pen.connection, twin[0])
    made = _insert(
        pen,
        message,
        microseconds(message.received_at),
        key,
        letter.reply,
        JournalState.RECEIVED,
        None,
        sequence,
        letter.label,
        None,
        forced=forced,
    )
    pen.lanes.replay(sequence, made)
    pen.lanes.write()
    return record(pen.connection, made)


def record(connection: Connection, sequence: int) -> JournalRecord | None:
    """Return one entry."""
    row = connection.execute(f"SELECT {_COLUMNS} FROM journal WHERE sequence = ?", (sequence,)).fetchone()  # noqa: S608  our own columns
    return None if row is None else _record(connection, row)


def records(connection: Connection, state: JournalState, after: int, limit: int) -> tuple[JournalRecord, ...]:
    """Return entries in a state (RECEIVED or DEAD) above a sequence, in order."""
    # The state is part of the text so that the partial index of that state is used.
    sql = f"SELECT {_COLUMNS} FROM journal WHERE state = '{state.value}' AND sequence > ? ORDER BY sequence LIMIT ?"  # noqa: S608  an enum of ours
    return tuple(_record(connection, row) for row in connection.execute(sql, (after, max(limit, 0))).fetchall())


_ABOUT = (
    "sequence IN (SELECT c.sequence FROM token AS t"
    " CROSS JOIN resource AS r ON r.key = t.resource"
    " CROSS JOIN person AS p ON p.id = r.id"
    " CROSS JOIN concern AS c ON c.person = p.key"
    " WHERE t.parameter = (SELECT key FROM symbol WHERE text = 'Patient?identifier') AND t.code = ?{system})"
)
_SYSTEM = " AND t.system = (SELECT key FROM symbol WHERE text = ?)"


def messages(connection: Connection, asked: Messages) -> tuple[JournalRecord, ...]:
    """Return entries, newest first. A reason is looked for among dead letters unless a state is named."""
    state = asked.state if asked.state is not None or asked.text is None else JournalState.DEAD.value
    found: tuple[tuple[str, str | int | bytes | None], ...] = (
        ("sequence < ?", asked.before),
        ("replace(key, rtrim(key, replace(key, '|', '')), '') = ?", asked.control),
        ("feed = ?", asked.feed),
        ("digest = ?", asked.digest),
        ("instr(text, ?) > 0", asked.text),
        ("received_at >= ?", microseconds(asked.since) if asked.since else None),
        ("received_at < ?", microseconds(asked.until) if asked.until else None),
    )
    told: list[tuple[str, tuple[str | int | bytes, ...]]] = [
        (text, (value,)) for text, value in found if value is not None
    ]
    if asked.identifier is not None:
        system, code = asked.identifier
        told.append((_ABOUT.format(system=_SYSTEM if system else ""), (code, system) if system else (code,)))
    # The state is part of the text, for the partial index of those that have one.
    states = [f"state = '{JournalState(state).value}'"] if state is not None else []
    where = " AND ".join(("TRUE", *states, *(text for text, _ in told)))
    # Reasons are told from the index of letters alone; their rows lie far apart.
    table = "journal INDEXED BY journal_dead" if state == JournalState.DEAD else "journal"
    order = "received_at DESC, sequence DESC" if asked.since or asked.until else "sequence DESC"
    sql = f"SELECT {_COLUMNS} FROM {table} WHERE {where} ORDER BY {order} LIMIT ?"  # noqa: S608  our own text
    return tuple(
        _record(connection, row)
        for row in connection.execute(sql, (*(value for _, values in told for value in values), max(asked.limit, 0)))
    )


def letters(connection: Connection, after: int, limit: int, only: Letters) -> tuple[JournalRecord, ...]:
    """Return dead letters above a sequence, in order."""
    condition, values = _condition(only)
    sql = f"SELECT {_COLUMNS} FROM journal WHERE {condition} AND sequence > ? ORDER BY sequence LIMIT ?"  # noqa: S608  our own text
    return tuple(
        _record(connection, row) for row in connection.execute(sql, (*values, after, max(limit, 0))).fetchall()
    )


def letter_groups(connection: Connection, only: Letters) -> tuple[LetterGroup, ...]:
    """Return dead letters by feed and refusal, the largest group first."""
    condition, values = _condition(only)
    rows = connection.execute(
        "SELECT feed, cause, location, text, count(*), min(sequence), max(sequence), min(received_at),"  # noqa: S608  our own text
        f" max(received_at) FROM journal WHERE {condition} GROUP BY 1, 2, 3, 4 ORDER BY 5 DESC, 6",
        values,
    )
    return tuple(
        LetterGroup(feed, Refusal(cause, place, text), count, first, last, instant(oldest), instant(newest))
        for feed, cause, place, text, count, first, last, oldest, newest in rows
    )


def _condition(only: Letters) -> tuple[str, list[str | int]]:
    """Return the condition of dead letters and its values. The state is text, for the partial index."""
    found: tuple[tuple[str, str | int | None], ...] = (
        ("feed = ?", only.feed),
        ("cause = ?", only.cause),
        ("instr(location, ?) = 1", only.location),
        ("received_at >= ?", microseconds(only.since) if only.since else None),
        ("received_at < ?", microseconds(only.until) if only.until else None),
    )
    asked = [(text, value) for text, value in found if value is not None]
    return " AND ".join(("state = 'dead'", *(text for text, _ in asked))), [value for _, value in asked]


def _live(connection: Connection, feed: str, key: str, digest: bytes) -> tuple[int, bytes] | None:
    row = connection.execute(
        "SELECT sequence, reply FROM journal WHERE feed = ? AND key = ? AND digest = ? AND state IN (?, ?, ?) LIMIT 1",
        (feed, key, digest, *_LIVE),
    ).fetchone()
    return None if row is None else (row[0], row[1])


def _used(connection: Connection, feed: str, key: str) -> bool:
    """Whether a message with this key was accepted before, whatever its bytes."""
    row = connection.execute(
        "SELECT 1 FROM journal WHERE feed = ? AND key = ? AND state IN (?, ?, ?) LIMIT 1", (feed, key, *_LIVE)
    ).fetchone()
    return row is not None


def _insert(
    pen: Pen,
    message: RawMessage,
    received: int,
    key: str,
    reply: bytes,
    state: JournalState,
    refusal: Refusal | None,
    replay_of: int | None,
    label: str,
    settled: int | None,
    *,
    forced: bool = False,
) -> int:
    found = (refusal.cause, refusal.location, refusal.text) if refusal is not None else (None, None, None)
    large = len(message.body) > PART
    sealed, body = pen.connection.sealed(b"" if large else message.body, message.digest)
    made = pen.connection.execute(
        "INSERT INTO journal (feed, key, digest, media_type, received_at, body, reply, state, cause, location, text,"
        " replay_of, label, settled_at, forced, sealed)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING sequence",
        (
            message.feed,
            key,
            message.digest,
            message.media_type,
            received,
            body,
            reply,
            state.value,
            *found,
            replay_of,
            label,
            settled,
            int(forced),
            sealed,
        ),
    ).get
    if large:
        _put(pen.connection, int(made), message)
    if state is JournalState.RECEIVED:
        pen.count(backlog=pen.state.backlog + 1)
    return int(made)


def _put(connection: Connection, sequence: int, message: RawMessage) -> None:
    """Write the parts of a message, one at a time: it is not to be in memory once more for each thing done with it."""
    whole = memoryview(message.body)
    for place, first in enumerate(range(0, len(whole), PART)):
        _, part = connection.sealed(bytes(whole[first : first + PART]), message.digest)
        connection.execute("INSERT INTO part (sequence, place, content) VALUES (?, ?, ?)", (sequence, place, part))
    connection.relieve()


_PART = (
    "SELECT unsealed(j.sealed, p.content, j.digest) FROM part AS p JOIN journal AS j ON j.sequence = p.sequence"
    " WHERE p.sequence = ? AND p.place = ?"
)


def parts_of(connection: Connection, sequence: int) -> bytes:
    """Return a message that lies in parts; one that does is not empty."""
    whole, place = BytesIO(), 0
    while (row := connection.execute(_PART, (sequence, place)).fetchone()) is not None:
        whole.write(row[0])
        connection.relieve()
        place += 1
    return whole.getvalue()


def _record(connection: Connection, row: tuple[Any, ...]) -> JournalRecord:
    sequence, feed, key, digest, media, received, body, reply, state, cause, location, text, original, *rest = row
    label, settled, forced = rest
    message = RawMessage(feed, instant(received), media, body or parts_of(connection, sequence))
    if not body and message.digest != digest:
        raise StoreError("a message is not what was journalled")
    return JournalRecord(
        sequence,
        message,
        key,
        reply,
        JournalState(state),
        None if cause is None else Refusal(cause, location, text),
        original,
        label,
        optional_instant(settled),
        bool(forced),
    )
