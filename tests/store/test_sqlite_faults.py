"""The n-th fault loop: a disk that fails at its first write, its second … and what is in the file after each."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import apsw
import pytest

from hawsepipe.errors import StoreError, StoreFull
from hawsepipe.fhir import provenance
from hawsepipe.model import Change, Checkpoint, Method, RawMessage, Transaction
from hawsepipe.store.contract import Application, JournalEntry, Sequenced, Store

NOW = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
Opener = Callable[..., AbstractAsyncContextManager[Store]]


class Disk(apsw.VFS):
    """Passes everything on to the real one until told to fail: the `at`-th write or sync from now, once or from then
    on.
    """

    def __init__(self) -> None:
        super().__init__("faulty", "")
        self.operations = 0
        self.at: int | None = None
        self.lasting = False
        self.error: Callable[[], apsw.Error] = apsw.IOError
        self.fired = False

    def arm(self, at: int, error: Callable[[], apsw.Error], *, lasting: bool) -> None:
        self.operations, self.at, self.lasting, self.error, self.fired = 0, at, lasting, error, False

    def disarm(self) -> None:
        self.at = None

    def pass_on(self) -> None:
        self.operations += 1
        if self.at is not None and (self.operations == self.at or (self.lasting and self.operations > self.at)):
            self.fired = True
            raise self.error()

    def xOpen(self, name: Any, flags: Any) -> apsw.VFSFile:  # noqa: N802  SQLite's name
        return _File(self, name, flags)


class _File(apsw.VFSFile):
    def __init__(self, disk: Disk, name: Any, flags: Any) -> None:
        super().__init__("", name, flags)
        self._disk = disk

    def xWrite(self, data: Any, offset: int) -> None:  # noqa: N802  SQLite's name
        self._disk.pass_on()
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:  # noqa: N802  SQLite's name
        self._disk.pass_on()
        super().xSync(flags)


@pytest.fixture
def disk() -> Iterator[Disk]:
    disk = Disk()
    yield disk
    disk.unregister()


async def _append(store: Store, number: int) -> int:
    body = b"message %d" % number
    accepted = await store.append(JournalEntry(RawMessage("adt", NOW, "text/plain", body), str(number), b"AA"))
    return accepted.sequence


def _effect(number: int) -> Transaction:
    patient = {"resourceType": "Patient", "number": number, "text": "x" * 3000}
    observation = {"resourceType": "Observation", "number": number, "subject": {"reference": f"Patient/{number}"}}
    return Transaction(
        (
            Change(Method.PUT, "Patient", str(number), patient),
            Change(Method.PUT, "Observation", str(number), observation),
        ),
        provenance.draft("feed:adt", id=f"p{number}"),
        "feed:adt",
        NOW,
    )


async def _work(store: Store, numbers: range) -> tuple[set[int], set[int], int]:
    """Journal, apply, log; return what was acknowledged, what was refused, and the size of the log as we were told."""
    done: set[int] = set()
    refused: set[int] = set()
    size = 0
    for number in numbers:
        try:
            sequence = await _append(store, number)
            (answer,) = await store.apply([Application(sequence, "label", _effect(number))])
            assert isinstance(answer, tuple)
            assert len(answer) == 3
            done.add(number)
        except StoreError:
            refused.add(number)
            continue
        try:
            anchors = tuple(await store.outbox(100))
            start = (await store.checkpoint("c") or Checkpoint("c", 0, b"", b"")).size
            after = start + len(anchors)
            head = Checkpoint("c", after, sha256(b"%d" % after).digest(), b"note")
            await store.sequence(Sequenced(start, anchors, (((1, start), b"h" * 32),), head))
            size = after
        except StoreError:
            pass
    return done, refused, size


def _check(file: Path, done: set[int], refused: set[int], size: int) -> None:
    connection = apsw.Connection(str(file))
    try:

        def found(sql: str) -> list[tuple[Any, ...]]:
            return connection.execute(sql).fetchall()

        assert found("PRAGMA integrity_check") == [("ok",)]
        versions = found("SELECT commitment FROM version ORDER BY commitment")
        assert versions == found("SELECT commitment FROM leaf ORDER BY commitment")
        assert found("SELECT count(*), coalesce(max(sequence), 0) FROM leaf")[0] == (len(versions),) * 2
        present = {int(id_) for (id_,) in found("SELECT id FROM resource WHERE id NOT LIKE 'p%'")}
        assert present == done
        assert not present & refused
        # A transaction is there whole: both resources and their Provenance, and the journal says so.
        assert len(versions) == 3 * len(done)
        assert len(found("SELECT 1 FROM journal WHERE state = 'applied'")) == len(done)
        assert found("SELECT log_size FROM state") == [(size,)]
        assert found("SELECT coalesce(max(size), 0) FROM checkpoint") == [(size,)]
    finally:
        connection.close()


@pytest.mark.parametrize(("error", "lasting"), [(apsw.IOError, False), (apsw.FullError, True)])
async def test_after_a_fault_at_any_write_nothing_is_half_done_and_the_store_goes_on(
    open_at: Opener, tmp_path: Path, disk: Disk, error: type[apsw.Error], *, lasting: bool
) -> None:
    at = 0
    while True:
        at += 1
        path = tmp_path / str(at)
        async with open_at(path, vfs="faulty", readers=1) as store:
            disk.arm(at, error, lasting=lasting)
            done, refused, size = await _work(store, range(1))
            fired = disk.fired
            disk.disarm()
            if not lasting:  # what a crash at this moment would leave behind: the file and its write-ahead log
                crashed = path / "crashed.db"
                for suffix in ("", "-wal"):
                    shutil.copy(f"{path / 'store.db'}{suffix}", f"{crashed}{suffix}")
                _check(crashed, done, refused, size)
            later, none, after = await _work(store, range(1, 2))
            assert (later, none) == ({1}, set())
            assert after >= size
        _check(path / "store.db", done | later, refused, after)
        if not fired:
            break
    assert at > 20


async def test_a_full_disk_is_told_apart_and_every_call_of_the_group_hears_of_it(
    open_at: Opener, tmp_path: Path, disk: Disk
) -> None:
    async with open_at(tmp_path / "s", vfs="faulty") as store:
        disk.arm(1, apsw.FullError, lasting=True)
        with pytest.raises(StoreFull):
            await _append(store, 1)
        with pytest.raises(StoreFull):
            await store.check()
        with pytest.raises(StoreFull):
            await store.commit(_effect(1))
        assert await store.read("Patient", "1") is None
        disk.disarm()
        await store.check()
        assert await store.backlog() == 0
        assert len(await store.commit(_effect(1))) == 3
