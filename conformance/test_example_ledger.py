"""A ledger plugin from a project of its own installs, loads by name and keeps the contract."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parent / "example_ledger"
INSTALLER = (
    [sys.executable, "-m", "pip"]
    if importlib.util.find_spec("pip") is not None
    # An environment made without pip is served by that of the interpreter which made it.
    else [os.path.realpath(sys.executable), "-m", "pip", "--python", sys.executable]
)

PROGRAM = """
import asyncio, sys
from datetime import UTC, datetime
from pathlib import Path
from hawsepipe import Meters, Opening, StaleHead, plugins
from hawsepipe_conformance.ledger import CHANNEL, checkpoint

async def main():
    kind = plugins.load(["example-ledger"]).ledgers["lines"]
    opening = Opening("lines", {}, Path(sys.argv[1]), lambda: datetime(2026, 3, 1, tzinfo=UTC), Meters())
    async with kind.open(opening) as ledger:
        await ledger.publish(checkpoint(2), None)
        await ledger.publish(checkpoint(5), checkpoint(2))
        try:
            await ledger.publish(checkpoint(9), checkpoint(2))
        except StaleHead as error:
            print("head", error.have[0])
    async with kind.open(opening) as ledger:
        assert await ledger.head(CHANNEL) == checkpoint(5)

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's copy, with what was installed from it in `site`."""
    copy = tmp_path_factory.mktemp("example") / "project"
    shutil.copytree(PROJECT, copy, ignore=shutil.ignore_patterns("__pycache__"))
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    subprocess.run([*INSTALLER, "install", *options, "--target", str(copy / "site"), str(copy)], check=True)
    shutil.rmtree(copy / "src")
    return copy


def run(arguments: list[str], installed: Path) -> subprocess.CompletedProcess[str]:
    """Run Python with the example installed."""
    return subprocess.run(
        [sys.executable, *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=installed,
        env={**os.environ, "PYTHONPATH": str(installed / "site")},
        timeout=120,
    )


def test_an_installed_plugin_is_loaded_by_name_and_used(installed: Path, tmp_path: Path) -> None:
    done = run(["-c", PROGRAM, str(tmp_path)], installed)
    assert (done.returncode, done.stdout) == (0, "head 5\n"), done.stderr


def test_the_installed_plugin_keeps_the_contract_of_ledgers(installed: Path) -> None:
    done = run(["-m", "pytest", "-q", "-p", "no:cacheprovider"], installed)
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout


def test_the_plugin_is_not_loaded_where_it_is_not_installed(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert "plugin example-ledger is not installed" in done.stderr
