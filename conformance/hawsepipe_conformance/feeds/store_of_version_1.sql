-- A store of version 1, as the first program wrote it, before there were queues, lanes, keys and later indexes.
-- It is history and never changes; what is current is in `hawsepipe.store.sqlite.schema`.
PRAGMA application_id = 0x48415753;
PRAGMA user_version = 1;
PRAGMA journal_mode = WAL;
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
