"""Makes a plan: reads every source once, puts the records into an order and cuts it into chunks. I/O."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Final

from hawsepipe.migrate.plan import opened
from hawsepipe.migrate.records import FHIR, Record, Split, form, messages, resources
from hawsepipe.migrate.sources import Bounds, Document, Source, documents

CHUNK: Final = 32
"""Records of a chunk, if nobody says otherwise: a live message waits for one chunk at most."""

BYTES: Final = 4 << 20
"""Bytes of a chunk, unless one record has more."""

_BATCH: Final = 1000
_TABLES: Final = """
CREATE TABLE document (number INTEGER PRIMARY KEY, source TEXT, label TEXT, path TEXT, refused TEXT);
CREATE TABLE record (
  number INTEGER PRIMARY KEY, document INTEGER, form TEXT, offset INTEGER, length INTEGER, line INTEGER, digest BLOB,
  source TEXT, type TEXT, id TEXT, version TEXT, sort TEXT, bundle INTEGER
);
CREATE TABLE address (document INTEGER, bundle INTEGER, source TEXT, url TEXT, place TEXT);
CREATE TABLE place (number INTEGER PRIMARY KEY, chunk INTEGER, record INTEGER);
CREATE TABLE told (key TEXT PRIMARY KEY, value TEXT);
"""
_INDEXES: Final = """
CREATE INDEX address_url ON address (source, url, document, bundle);
CREATE INDEX record_named ON record (source, type, id, sort, number);
"""
_ORDER: Final = """
SELECT number, length FROM (
  SELECT number, length, type, form, sort,
    CASE WHEN form = 'fhir' AND id != '' THEN
      row_number() OVER (PARTITION BY source, type, id ORDER BY sort, number) ELSE 1 END AS rank
  FROM record
) ORDER BY type != 'Consent' OR form != 'fhir', rank, CASE form WHEN 'fhir' THEN '' ELSE sort END, number
"""


@dataclass(frozen=True, slots=True)
class Maker:
    """Makes the plan of `sources` in `folder`, with chunks of `size` records; `split` cuts files of HL7 v2."""

    sources: Sequence[Source]
    folder: Path
    split: Split
    size: int = CHUNK
    bounds: Bounds = field(default_factory=Bounds)

    def make(self, path: Path) -> Iterator[int]:
        """Make the plan at `path`; yield how many records there are so far, again and again."""
        path.unlink(missing_ok=True)
        spool = self.folder / "spool"
        shutil.rmtree(spool, ignore_errors=True)
        spool.mkdir(parents=True, mode=0o700)
        file = opened(path)
        try:
            file.executescript(_TABLES)
            count = 0
            for source in self.sources:
                for document in documents(source, spool, self.bounds):
                    for records in self._records(file, document, spool):
                        count += records
                        yield count
            file.executescript(_INDEXES)
            self._arrange(file)
            yield count
        finally:
            file.close()

    def _records(self, file: sqlite3.Connection, document: Document, spool: Path) -> Iterator[int]:
        kind = "" if document.refused else form(document.path)
        refused = document.refused or ("" if kind else "neither FHIR as JSON nor HL7 v2")
        number = _enter(file, document, document.path, refused)
        if refused:
            return
        found = resources(document.path) if kind == FHIR else messages(document.path, self.split)
        beside = spool / f"beside-{number:09d}"
        for batch in _batches(found):
            file.execute("BEGIN")
            literal = [record for record in batch if record.body is None]
            _put(file, number, document.source, literal)
            if len(literal) < len(batch):
                # What is no stretch of its file (a message without its frame's bytes) is kept as one beside it.
                other = _enter(file, document, beside, "")
                _put(file, other, document.source, _written(beside, [it for it in batch if it.body is not None]))
            file.execute("COMMIT")
            yield len(batch)

    def _arrange(self, file: sqlite3.Connection) -> None:
        """Put the records in order and cut them into chunks; say what the plan is."""
        file.execute("BEGIN")
        file.executemany("INSERT INTO place (chunk, record) VALUES (?, ?)", self._cut(file))
        records, chunks = file.execute("SELECT count(*), coalesce(max(chunk), 0) FROM place").fetchone()
        digest, counts, size = sha256(), Counter[tuple[str, str]](), 0
        for source, type_, offset, length, one in file.execute(
            "SELECT source, type, offset, length, digest FROM record ORDER BY number"
        ):
            digest.update(f"{source}|{type_}|{offset}|{length}|".encode() + one)
            counts[source, type_] += 1
            size += length
        told: dict[str, object] = {
            "digest": digest.hexdigest(),
            "chunks": chunks,
            "records": records,
            "bytes": size,
            "size": self.size,
            "counts": {
                source.name: {type_: n for (name, type_), n in sorted(counts.items()) if name == source.name}
                for source in self.sources
            },
        }
        file.execute("INSERT INTO told VALUES ('plan', ?)", (json.dumps(told),))
        file.execute("COMMIT")

    def _cut(self, file: sqlite3.Connection) -> Iterator[tuple[int, int]]:
        chunk, records, held = 1, 0, 0
        for number, length in file.execute(_ORDER):
            if records and (records == self.size or held + length > BYTES):
                chunk, records, held = chunk + 1, 0, 0
            records, held = records + 1, held + length
            yield chunk, number


def _enter(file: sqlite3.Connection, document: Document, path: Path, refused: str) -> int:
    number = file.execute(
        "INSERT INTO document (source, label, path, refused) VALUES (?, ?, ?, ?)",
        (document.source, document.label, str(path), refused),
    ).lastrowid
    assert number is not None
    return number


def _put(file: sqlite3.Connection, document: int, source: str, records: Iterable[Record]) -> None:
    addresses: list[tuple[int, int, str, str, str]] = []
    rows: list[tuple[object, ...]] = []
    for it in records:
        rows.append(
            (document, it.form, it.offset, it.length, it.line, it.digest, source, it.type, it.id, it.version, it.order,
             it.bundle)
        )  # fmt: skip
        place = f"{it.type}/{it.id}"
        names = [f"{it.type}?identifier={name}" for name in it.identifiers]
        addresses += [(document, it.bundle, source, url, place) for url in (it.address, *names) if url]
    file.executemany(
        "INSERT INTO record (document, form, offset, length, line, digest, source, type, id, version, sort, bundle)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        rows,
    )
    file.executemany("INSERT INTO address VALUES (?, ?, ?, ?, ?)", addresses)


def _written(path: Path, records: Iterable[Record]) -> Iterator[Record]:
    with path.open("ab") as out:
        for record in records:
            assert record.body is not None
            yield record._replace(offset=out.tell(), body=None)
            out.write(record.body)


def _batches(records: Iterable[Record]) -> Iterator[list[Record]]:
    batch: list[Record] = []
    for record in records:
        batch.append(record)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
