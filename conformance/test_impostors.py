"""The contract of ledger backends sees through each of its evil twins."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, ClassVar

import pytest

from hawsepipe import LedgerBackend
from hawsepipe_conformance.impostors import IMPOSTORS, Impostor, impostor
from hawsepipe_conformance.ledger import LedgerContract


class Seen(LedgerContract):
    """The contract, asked of one of them."""

    __test__ = False
    plugin = "hawsepipe_ledger_log.plugin"
    kind_name = "log"
    kind: ClassVar[type[Impostor]] = Impostor

    def open(self, directory: Path) -> AbstractAsyncContextManager[LedgerBackend]:
        """Open an impostor."""
        return impostor(self.kind, directory)


def keeps(kind: type[Impostor], name: str, directory: Path) -> bool:
    """Return whether a kind keeps a sentence of the contract."""
    suite: Any = type("Asked", (Seen,), {"kind": kind})()
    try:
        asyncio.run(getattr(suite, name)(directory))
    except (Exception, pytest.fail.Exception):
        return False
    return True


def test_there_are_enough_of_them() -> None:
    assert len(IMPOSTORS) >= 12
    assert len({kind.seen_by for kind in IMPOSTORS}) == len(IMPOSTORS), "each breaks a promise of its own"


@pytest.mark.parametrize("kind", IMPOSTORS, ids=lambda kind: kind.__name__)
def test_an_evil_twin_is_seen_and_the_honest_one_is_not(kind: type[Impostor], tmp_path: Path) -> None:
    assert not keeps(kind, kind.seen_by, tmp_path / "evil")
    assert keeps(Impostor, kind.seen_by, tmp_path / "honest")
