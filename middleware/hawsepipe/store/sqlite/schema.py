"""The tables, and the steps from one version of them to the next.

Instants are microseconds since 1970-01-01T00:00:00Z. A version's row key is `(resource << 24) | version`, so that the
versions of a resource lie together and need no index of their own. Side tables are clustered by resource (to check
one candidate, and to replace a resource's rows) and have one index by value (to find candidates).
"""

from __future__ import annotations

from typing import Final

from hawsepipe.errors import StoreError
from hawsepipe.fhir.identity import KNOWN_AS
from hawsepipe.store.sql.commonness import held_in_common
from hawsepipe.store.sql.connection import NAMED_AS, VERSION_BITS
from hawsepipe.store.sqlite.connection import Connection

APPLICATION_ID: Final = 0x48415753
"""Marks the file as ours (`HAWS`)."""

VERSION: Final = 17
"""The newest version of the tables that this code knows."""

DELIVERIES: Final = """
CREATE TABLE route (feed TEXT, destination TEXT, PRIMARY KEY (feed, destination)) STRICT, WITHOUT ROWID;
CREATE TABLE delivery (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  destination TEXT NOT NULL, sequence INTEGER NOT NULL, queued_at INTEGER,
  cause TEXT, text TEXT, settled_at INTEGER  -- why and when it was set aside
) STRICT;
CREATE INDEX delivery_waiting ON delivery (destination, number) WHERE cause IS NULL;
-- What is applied is on its way in the same transaction, whoever applies it.
CREATE TRIGGER journal_applied AFTER UPDATE OF state ON journal WHEN NEW.state = 'applied' BEGIN
  INSERT INTO delivery (destination, sequence, queued_at)
    SELECT destination, NEW.sequence, NEW.settled_at FROM route WHERE feed = NEW.feed;
END;
"""
"""The queues of destinations (since version 2)."""

EVENTS: Final = "ALTER TABLE resource ADD COLUMN event INTEGER;"
"""When the newest event happened that told what a resource shows, by its sender's word (since version 3)."""

LANES: Final = """
CREATE TABLE lane (
  person TEXT, position INTEGER, sequence INTEGER NOT NULL, PRIMARY KEY (person, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX lane_entry ON lane (sequence);
ALTER TABLE journal ADD COLUMN forced INTEGER NOT NULL DEFAULT 0;  -- current whatever newer events told
DROP INDEX journal_received;
CREATE INDEX journal_received ON journal (sequence, feed, received_at) WHERE state = 'received';
CREATE INDEX journal_held ON journal (sequence, feed, received_at) WHERE state = 'held';
"""
"""Who waits behind which letter; how many wait is told from indexes alone (since version 4)."""

HISTORY: Final = "CREATE INDEX IF NOT EXISTS version_recorded ON version (recorded);"
"""What changed, newest first (since version 5). Instants only grow, so it is written at its end."""

VAULT: Final = """
ALTER TABLE journal ADD COLUMN sealed TEXT;   -- the key that the body is under
ALTER TABLE journal ADD COLUMN leaf INTEGER;  -- how many leaves there were once it was settled
UPDATE journal SET leaf = (SELECT coalesce(max(sequence), 0) FROM leaf) WHERE state = 'applied';
-- The keys that content is under, each with something by which it is known again.
CREATE TABLE cipher (name TEXT PRIMARY KEY, proof BLOB NOT NULL) STRICT, WITHOUT ROWID;
"""
"""Raw content under keys, and from when on it may be pruned (since version 6)."""

CONTROL: Final = "CREATE INDEX journal_control ON journal (replace(key, rtrim(key, replace(key, '|', '')), ''));"
"""Messages by the last part of their key (since version 7)."""

TIMES: Final = """
CREATE INDEX journal_time ON journal (received_at);
DROP INDEX journal_dead;
CREATE INDEX journal_dead ON journal (sequence, received_at, text) WHERE state = 'dead';
"""
"""Messages by the instant of their receipt, which grows; reasons of letters beside their numbers (since version 8)."""

COMMON: Final = """
-- Facets that resources have in common, each set known by a digest of its text; `facet` has the others.
CREATE TABLE common (key INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE) STRICT;
CREATE TABLE common_facet (
  common INTEGER, kind INTEGER, value TEXT, PRIMARY KEY (common, kind, value)
) STRICT, WITHOUT ROWID;
ALTER TABLE resource ADD COLUMN common INTEGER;
"""
"""Facets that many resources have, each set once (since version 9)."""

SPOKEN: Final = f"""
INSERT OR IGNORE INTO symbol (text) SELECT '{NAMED_AS}' FROM resource LIMIT 1;
INSERT OR IGNORE INTO reference (resource, parameter, value, type)
  SELECT proof.key, parameter.key, substr(name, instr(name, '/') + 1), type.key FROM (
    SELECT r.key, note.value ->> '$.valueReference.reference' AS name
      FROM resource AS r
      CROSS JOIN version AS v ON v.key = ((r.key << {VERSION_BITS}) | r.version)
      CROSS JOIN json_each(CAST(opened(v.content, v.key) AS TEXT), '$.extension') AS note
      WHERE r.type = (SELECT key FROM symbol WHERE text = 'Provenance') AND r.deleted = 0
        AND instr(opened(v.content, v.key), CAST('{KNOWN_AS}' AS BLOB)) AND note.value ->> 'url' = '{KNOWN_AS}'
  ) AS proof
  JOIN symbol AS parameter ON parameter.text = '{NAMED_AS}'
  JOIN symbol AS type ON type.text = substr(name, 1, instr(name, '/') - 1);
"""  # noqa: S608  our own constants
"""The Provenances of messages that spoke of what is another one's by now, by what they spoke of (since version 10)."""

CONCERN: Final = """
CREATE TABLE IF NOT EXISTS concern (
  person INTEGER, sequence INTEGER, PRIMARY KEY (person, sequence)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS concern_entry ON concern (sequence);
INSERT OR IGNORE INTO concern (person, sequence)
  SELECT a.person, j.sequence FROM journal AS j
    CROSS JOIN token AS t ON t.parameter = (SELECT key FROM symbol WHERE text = 'Provenance?entity:identifier')
      AND t.code = lower(hex(j.digest))
    CROSS JOIN about AS a ON a.resource = t.resource
    WHERE j.state = 'applied';
"""
"""Whom a message of the journal is about (since version 11)."""

UNITS: Final = """
DROP INDEX quantity_value;
CREATE INDEX quantity_value ON quantity (parameter, code, value);
"""
"""Quantities by their unit before their number, since numbers of other units say nothing (since version 12)."""

NOTES: Final = """
CREATE TABLE IF NOT EXISTS note (
  load TEXT, part TEXT, value BLOB NOT NULL, PRIMARY KEY (load, part)
) STRICT, WITHOUT ROWID;
"""
"""What loads of history note of themselves (since version 13)."""

STATE: Final = """
ALTER TABLE leaf ADD COLUMN version INTEGER;  -- the version that it commits to
CREATE TEMP TABLE committed AS
  SELECT l.sequence, v.key FROM version AS v CROSS JOIN leaf AS l
    ON substr(l.commitment, 1, 8) = substr(v.commitment, 1, 8) AND l.commitment = v.commitment;
UPDATE leaf SET version = committed.key FROM committed WHERE committed.sequence = leaf.sequence;
DROP TABLE committed;
-- The state leaves; each is in the log after the outbox's place `sequence`, and makes its size `size`.
CREATE TABLE sealed (
  sequence INTEGER PRIMARY KEY, size INTEGER NOT NULL UNIQUE,
  root BLOB NOT NULL, commitment BLOB NOT NULL, opening BLOB NOT NULL, salt BLOB NOT NULL
) STRICT;
-- The current-state map: pages by the hex digits of the places below them, as of sizes of the log.
CREATE TABLE spot (path TEXT NOT NULL, size INTEGER NOT NULL, page BLOB NOT NULL) STRICT;
CREATE UNIQUE INDEX spot_path ON spot (path, size);
ALTER TABLE state ADD COLUMN charted INTEGER NOT NULL DEFAULT 0;  -- places of the outbox that the map holds
"""
"""What is the latest, provably; an older store's map is made before its next batch (since version 14)."""

CONTENTS: Final = """
CREATE TABLE IF NOT EXISTS content (
  sha256 TEXT, version INTEGER, PRIMARY KEY (sha256, version)
) STRICT, WITHOUT ROWID;
"""
"""Which versions name a content that is kept beside the store (since version 15)."""

PARTS: Final = """
CREATE TABLE IF NOT EXISTS part (
  sequence INTEGER, place INTEGER, content BLOB NOT NULL, PRIMARY KEY (sequence, place)
) STRICT;
"""
"""The parts of messages that are too large for a row of the journal (since version 16)."""

REPLAYS: Final = """
CREATE INDEX IF NOT EXISTS journal_replay ON journal (replay_of) WHERE replay_of IS NOT NULL;
"""
"""The retries of a letter by its number (since version 17)."""

_STEPS: Final = {
    1: DELIVERIES,
    2: EVENTS,
    3: LANES,
    4: HISTORY,
    5: VAULT,
    6: CONTROL,
    7: TIMES,
    8: COMMON,
    9: SPOKEN,
    10: CONCERN,
    11: UNITS,
    12: NOTES,
    13: STATE,
    14: CONTENTS,
    15: PARTS,
    16: REPLAYS,
}
"""What makes the next version of tables of a version."""

_MOVES: Final = {8: held_in_common}
"""What is done after a step to the rows that are there."""

TABLES: Final = """
CREATE TABLE state (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  instant INTEGER NOT NULL,   -- last_updated of the newest commit
  epoch INTEGER NOT NULL,     -- commits that touched what access decisions are made of
  log_size INTEGER NOT NULL,  -- leaves in the log
  tick INTEGER NOT NULL       -- writes that only prove that writing works
) STRICT;
INSERT INTO state VALUES (1, 0, 0, 0, 0);

CREATE TABLE symbol (key INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE person (key INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE) STRICT;

CREATE TABLE journal (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT,
  feed TEXT NOT NULL, key TEXT NOT NULL, digest BLOB NOT NULL,
  media_type TEXT NOT NULL, received_at INTEGER NOT NULL, body BLOB NOT NULL, reply BLOB NOT NULL,
  state TEXT NOT NULL, cause TEXT, location TEXT, text TEXT,
  replay_of INTEGER, label TEXT NOT NULL, settled_at INTEGER
) STRICT;
CREATE INDEX journal_identity ON journal (feed, key, digest);
CREATE INDEX journal_received ON journal (sequence) WHERE state = 'received';
CREATE INDEX journal_dead ON journal (sequence) WHERE state = 'dead';

CREATE TABLE resource (
  key INTEGER PRIMARY KEY,    -- never changes, never used again: the default order of a search
  type INTEGER NOT NULL, id TEXT NOT NULL,
  version INTEGER NOT NULL, deleted INTEGER NOT NULL,
  first_recorded INTEGER NOT NULL, last_updated INTEGER NOT NULL,
  rank INTEGER, clinical_start INTEGER, clinical_end INTEGER,
  indexed INTEGER NOT NULL    -- which side tables have rows of it, a bit each
) STRICT;
CREATE UNIQUE INDEX resource_identity ON resource (type, id);
CREATE INDEX resource_updated ON resource (type, last_updated);
CREATE INDEX resource_present ON resource (type) WHERE deleted = 0;

CREATE TABLE version (
  key INTEGER PRIMARY KEY,
  recorded INTEGER NOT NULL, operation TEXT NOT NULL, patients TEXT NOT NULL,
  commitment BLOB NOT NULL, opening BLOB, salt BLOB, content BLOB
) STRICT;

CREATE TABLE about (resource INTEGER, person INTEGER, PRIMARY KEY (resource, person)) STRICT, WITHOUT ROWID;
CREATE TABLE facet (
  resource INTEGER, kind INTEGER, value TEXT, PRIMARY KEY (resource, kind, value)
) STRICT, WITHOUT ROWID;

CREATE TABLE token (
  resource INTEGER, parameter INTEGER, code TEXT, system INTEGER, PRIMARY KEY (resource, parameter, code, system)
) STRICT, WITHOUT ROWID;
CREATE INDEX token_value ON token (parameter, code, resource, system);
CREATE TABLE reference (
  resource INTEGER, parameter INTEGER, value TEXT, type INTEGER, PRIMARY KEY (resource, parameter, value, type)
) STRICT, WITHOUT ROWID;
CREATE INDEX reference_value ON reference (parameter, value, resource, type);
CREATE TABLE uri (
  resource INTEGER, parameter INTEGER, uri TEXT, PRIMARY KEY (resource, parameter, uri)
) STRICT, WITHOUT ROWID;
CREATE INDEX uri_value ON uri (parameter, uri, resource);
CREATE TABLE string (
  resource INTEGER, parameter INTEGER, place INTEGER, normal TEXT NOT NULL, exact TEXT NOT NULL,
  PRIMARY KEY (resource, parameter, place)
) STRICT, WITHOUT ROWID;
CREATE INDEX string_value ON string (parameter, normal);
CREATE TABLE date (
  resource INTEGER, parameter INTEGER, low INTEGER, high INTEGER, PRIMARY KEY (resource, parameter, low, high)
) STRICT, WITHOUT ROWID;
CREATE INDEX date_low ON date (parameter, low, high);
CREATE INDEX date_high ON date (parameter, high, low);
CREATE TABLE number (
  resource INTEGER, parameter INTEGER, value BLOB, PRIMARY KEY (resource, parameter, value)
) STRICT, WITHOUT ROWID;
CREATE INDEX number_value ON number (parameter, value);
CREATE TABLE quantity (
  resource INTEGER, parameter INTEGER, place INTEGER,
  value BLOB NOT NULL, system TEXT NOT NULL, code TEXT NOT NULL, unit TEXT NOT NULL,
  PRIMARY KEY (resource, parameter, place)
) STRICT, WITHOUT ROWID;
CREATE INDEX quantity_value ON quantity (parameter, value);

CREATE TABLE leaf (sequence INTEGER PRIMARY KEY, commitment BLOB NOT NULL) STRICT;  -- leaf index + 1
CREATE INDEX leaf_commitment ON leaf (substr(commitment, 1, 8));
CREATE TABLE node (key INTEGER PRIMARY KEY, hash BLOB NOT NULL) STRICT;  -- (level << 56) | index
CREATE TABLE checkpoint (
  channel TEXT, size INTEGER, root BLOB NOT NULL, note BLOB NOT NULL, PRIMARY KEY (channel, size)
) STRICT, WITHOUT ROWID;
CREATE TABLE receipt (
  channel TEXT, size INTEGER, backend TEXT, root BLOB NOT NULL, position TEXT NOT NULL, proof TEXT NOT NULL,
  PRIMARY KEY (channel, size, backend)
) STRICT, WITHOUT ROWID;

CREATE TABLE access (
  number INTEGER PRIMARY KEY, instant INTEGER NOT NULL, subject TEXT NOT NULL, client TEXT NOT NULL, purpose TEXT,
  interaction TEXT NOT NULL, target TEXT NOT NULL, patients TEXT NOT NULL, permit INTEGER NOT NULL,
  reasons TEXT NOT NULL, consents TEXT NOT NULL, query TEXT NOT NULL
) STRICT;
"""


def prepare(connection: Connection) -> None:
    """Make the tables in an empty file, or the newer ones in an older file, in one transaction; leave known ones.

    Raises StoreError for a file that is not ours.
    """
    version = int(connection.pragma("user_version"))
    if version > VERSION:
        raise StoreError(f"the store has tables of version {version}; this program knows up to {VERSION}")
    ours = connection.pragma("application_id") == APPLICATION_ID
    if ours and version in _STEPS:
        _grow(connection, version)
        return
    if version == VERSION and connection.pragma("application_id") == APPLICATION_ID:
        return
    if version != 0 or connection.execute("SELECT count(*) FROM sqlite_schema").get:
        raise StoreError("the file is not a store of this program")
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute(TABLES + "".join(_STEPS.values()))
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _grow(connection: Connection, version: int) -> None:
    """Bring the tables of an older version up to this one."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        for step in range(version, VERSION):
            connection.execute(_STEPS[step])
            if step in _MOVES:
                _MOVES[step](connection)
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
