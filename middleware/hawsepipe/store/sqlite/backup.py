"""Backup and restore of the store in a file; a service may have it open while it is backed up."""

from __future__ import annotations

import contextlib
import os
import shutil
from datetime import datetime
from pathlib import Path
from typing import Final

import apsw

from hawsepipe.errors import StoreError
from hawsepipe.fhir.dates import instant_text
from hawsepipe.store import backups
from hawsepipe.store.backups import Manifest
from hawsepipe.store.sqlite import schema
from hawsepipe.store.sqlite.connection import translated

FILE: Final = "store.db"
KIND: Final = "sqlite"


def backup(directory: Path, into: Path, instant: datetime) -> Manifest:
    """Write a backup of the store in a directory: what was committed when it began, compact. Raises StoreError."""
    source = directory / FILE
    if not source.is_file():
        raise StoreError(f"there is no store in {directory}")
    backups.begun(into)
    target = into / FILE
    os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    try:
        connection = apsw.Connection(str(source), flags=apsw.SQLITE_OPEN_READWRITE)
        try:
            connection.set_busy_timeout(5000)
            connection.execute("VACUUM INTO ?", (str(target),))
        finally:
            connection.close()
        copy = apsw.Connection(str(target), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            version = int(copy.pragma("user_version"))
            logged = int(copy.execute("SELECT log_size FROM state").get)
            leaves = int(copy.execute("SELECT coalesce(max(sequence), 0) FROM leaf").get)
        finally:
            copy.close()
    except apsw.Error as error:
        raise translated(error) from error
    backups.flushed(target)
    files = {FILE: backups.digest_of(target)}
    manifest = Manifest(KIND, version, instant_text(instant), leaves, logged, files, {})
    manifest.write(into)
    return manifest


def restore(directory: Path, backup: Path) -> Manifest:
    """Put a backup into a directory that has no store. Raises StoreError, and leaves no part of it then."""
    manifest = backups.read(backup, KIND, schema.VERSION)
    target, fresh = directory / FILE, directory / f"{FILE}.restoring"
    if target.exists():
        raise StoreError(f"there is a store in {directory} already; move it away first")
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        # What the write-ahead log of another store holds must not come into this one.
        for left in (f"{FILE}-wal", f"{FILE}-shm"):
            (directory / left).unlink(missing_ok=True)
        with contextlib.suppress(FileNotFoundError):
            fresh.unlink()
        os.close(os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        shutil.copyfile(backup / FILE, fresh)
        backups.flushed(fresh)
        fresh.rename(target)
        backups.flushed(directory)
    except OSError as error:
        raise StoreError(f"{directory} cannot be written ({os.strerror(error.errno or 0)})") from error
    return manifest
