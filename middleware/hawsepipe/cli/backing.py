"""`backup` and `restore`."""

from __future__ import annotations

from pathlib import Path

import click

from hawsepipe.cli.options import config_option
from hawsepipe.clock import system_clock
from hawsepipe.config import read
from hawsepipe.service import backups
from hawsepipe.store.backups import Manifest


@click.command()
@config_option
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
def backup(config_path: Path, directory: Path) -> None:
    """Write a backup of the store and of the contents beside it into a new directory.

    The service may go on meanwhile: the backup is of one moment. It holds no keys and no ledger; keep the keys
    elsewhere (docs/backup.md).
    """
    click.echo(_told("backed up", backups.backup(read(config_path), directory, system_clock())))


@click.command()
@config_option
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False, exists=True))
def restore(config_path: Path, directory: Path) -> None:
    """Put a backup where there is no store yet.

    Every file is compared with the backup's manifest first. If ledgers have seen more of the log than the backup holds,
    the service says so when it is started (rolled-back), and makes no second history.
    """
    click.echo(_told("restored", backups.restore(read(config_path), directory)))


def _told(done: str, manifest: Manifest) -> str:
    return (
        f"{done}: {manifest.kind}, tables of version {manifest.version}, made {manifest.made},"
        f" {manifest.commitments} commitments, {manifest.logged} of them in the log"
    )
