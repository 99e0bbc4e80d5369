"""What a crash between the file and the commit leaves behind goes; what a version names stays."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

from hawsepipe.contents.disk import DiskContents
from hawsepipe.contents.sweeping import Sweeping
from hawsepipe.store.contract import Store

NOW = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)


class Naming:
    """A store as far as sweeping asks."""

    def __init__(self, *named: str) -> None:
        self.named = set(named)

    async def contents_named(self, sha256s: Sequence[str]) -> frozenset[str]:
        return frozenset(self.named & set(sha256s))


def kept(contents: DiskContents, content: bytes, age: timedelta) -> str:
    sink = contents.sink()
    sink.write(content)
    stored = sink.keep()
    instant = (NOW - age).timestamp()
    os.utime(contents.place(stored.sha256), (instant, instant))
    return stored.sha256


def sweeping(store: Any, contents: DiskContents) -> Sweeping:
    return Sweeping(cast("Store", store), contents, lambda: NOW, timedelta(days=1), timedelta(hours=1))


async def test_what_nothing_names_goes_after_its_grace(tmp_path: Path) -> None:
    contents = DiskContents(tmp_path)
    old, young, named = (
        kept(contents, b"old", timedelta(days=2)),
        kept(contents, b"young", timedelta(hours=2)),
        kept(contents, b"named", timedelta(days=9)),
    )
    assert await sweeping(Naming(named), contents).sweep() == 1
    assert not contents.place(old).exists()
    assert contents.place(young).exists()
    assert contents.place(named).exists()
    assert await sweeping(Naming(named), contents).sweep() == 0


async def test_what_is_put_again_between_the_look_and_the_removal_stays(tmp_path: Path) -> None:
    contents = DiskContents(tmp_path)
    digest = kept(contents, b"again", timedelta(days=2))

    class Slow(Naming):
        async def contents_named(self, sha256s: Sequence[str]) -> frozenset[str]:
            await asyncio.to_thread(kept, contents, b"again", timedelta())
            return frozenset()

    assert await sweeping(Slow(), contents).sweep() == 0
    assert b"".join(contents.read(digest)) == b"again"
