"""Backup and restore of what the configuration names: the store, and the contents that are kept beside it."""

from __future__ import annotations

import asyncio
import os
import shutil
from datetime import datetime
from pathlib import Path
from typing import Final

from hawsepipe.config import Config
from hawsepipe.errors import StoreError
from hawsepipe.service import stores
from hawsepipe.store.backups import Manifest
from hawsepipe.store.sqlite import backup as sqlite

CONTENTS: Final = "contents"


def backup(config: Config, into: Path, instant: datetime) -> Manifest:
    """Write a backup. Raises ConfigError, StoreError."""
    if config.store.kind == "sqlite":
        manifest = sqlite.backup(config.data / "store", into, instant)
    else:
        database = stores.database_of(config)
        from hawsepipe.store import postgres
        from hawsepipe.store.postgres import backup as copies

        manifest = asyncio.run(copies.backup(postgres.way_to(database), into, instant))
    # After the store: what it names is there. A content never changes, so there is no wrong moment.
    _copied(config.data / CONTENTS, into / CONTENTS)
    return manifest


def restore(config: Config, backup: Path) -> Manifest:
    """Put a backup where there is no store. Raises ConfigError, StoreError."""
    _copied(backup / CONTENTS, config.data / CONTENTS)
    if config.store.kind == "sqlite":
        return sqlite.restore(config.data / "store", backup)
    database = stores.database_of(config)
    from hawsepipe.store import postgres
    from hawsepipe.store.postgres import backup as copies

    return asyncio.run(copies.restore(postgres.way_to(database), backup))


def _copied(source: Path, target: Path) -> None:
    """Copy the contents that are not there yet; each is known by its name, which is its SHA-256."""
    if not source.is_dir():
        return
    try:
        for path in sorted(source.rglob("*")):
            place = target / path.relative_to(source)
            if not path.is_file() or path.parent.name == "new" or place.exists():
                continue
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            fresh = place.with_name(f"{place.name}.copying")
            shutil.copyfile(path, fresh)
            fresh.chmod(0o600)
            with fresh.open("rb") as file:
                os.fsync(file.fileno())
            fresh.rename(place)
    except FileNotFoundError:
        raise StoreError("a content went while it was copied; try again") from None
    except OSError as error:
        raise StoreError(f"contents cannot be copied ({os.strerror(error.errno or 0)})") from error
