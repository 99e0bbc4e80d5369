"""Contents on disk: whole or not at all, known by their SHA-256, and never taken from under whoever puts them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from hashlib import sha1, sha256
from pathlib import Path

import pytest

from hawsepipe.contents.contract import Stored
from hawsepipe.contents.disk import BLOCK, DiskContents
from hawsepipe.errors import StoreError, Tampered
from hawsepipe.store.vault import Vault

NOW = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
LARGE = os.urandom(BLOCK) * 2 + b"the end"
SEALED = Vault({"a": bytes(32)}, "a")


def put(contents: DiskContents, parts: Iterable[bytes]) -> Stored:
    sink = contents.sink()
    try:
        for part in parts:
            sink.write(part)
        return sink.keep()
    finally:
        sink.drop()


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def age(path: Path, instant: datetime) -> None:
    os.utime(path, (instant.timestamp(), instant.timestamp()))


@pytest.mark.parametrize("vault", [None, SEALED])
@pytest.mark.parametrize("content", [b"", b"x", LARGE[:BLOCK], LARGE])
def test_what_is_kept_is_read_again_whole_and_in_part(tmp_path: Path, content: bytes, vault: Vault | None) -> None:
    contents = DiskContents(tmp_path, vault)
    stored = put(contents, [content[:1000], content[1000:]])
    assert stored == Stored(sha256(content).hexdigest(), sha1(content).hexdigest(), len(content))
    assert b"".join(contents.read(stored.sha256)) == content
    for start, end in ((0, 10), (5, None), (BLOCK - 3, BLOCK + 3), (len(content), None), (0, 0)):
        assert b"".join(contents.read(stored.sha256, start, end)) == content[start:end]
    assert len(files(tmp_path)) == 1
    kept = files(tmp_path)[0].read_bytes()
    assert (LARGE[1000:1100] in kept) == (content[1000:1100] == LARGE[1000:1100] and vault is None)
    assert files(tmp_path)[0].stat().st_mode & 0o077 == 0


def test_the_same_content_is_kept_once(tmp_path: Path) -> None:
    contents = DiskContents(tmp_path)
    assert put(contents, [b"one"]) == put(contents, [b"o", b"ne"])
    assert len(files(tmp_path)) == 1


def test_what_is_dropped_leaves_nothing(tmp_path: Path) -> None:
    sink = DiskContents(tmp_path).sink()
    sink.write(LARGE)
    sink.drop()
    assert files(tmp_path) == []


@pytest.mark.parametrize("vault", [None, SEALED])
def test_a_content_that_is_another_one_is_not_read(tmp_path: Path, vault: Vault | None) -> None:
    contents = DiskContents(tmp_path, vault)
    stored = put(contents, [LARGE])
    (file,) = files(tmp_path)
    kept = file.read_bytes()
    for tampered in (kept[:-1], kept[:-1] + bytes([kept[-1] ^ 1]), kept + b"x", kept[:BLOCK], b"", b"HWC1"):
        file.write_bytes(tampered)
        with pytest.raises((Tampered, StoreError)):
            list(contents.read(stored.sha256, 0, 10))
    other = put(contents, [b"other"])
    contents.place(other.sha256).rename(file)
    with pytest.raises(Tampered):
        list(contents.read(stored.sha256))
    file.unlink()
    with pytest.raises(Tampered):
        list(contents.read(stored.sha256))
    # Whoever brings it again mends it.
    assert put(contents, [LARGE]) == stored
    assert b"".join(contents.read(stored.sha256)) == LARGE


def test_a_sealed_content_needs_its_key(tmp_path: Path) -> None:
    stored = put(DiskContents(tmp_path, SEALED), [b"secret"])
    with pytest.raises(StoreError):
        list(DiskContents(tmp_path).read(stored.sha256))


def test_old_contents_are_told_and_taken_away(tmp_path: Path) -> None:
    contents = DiskContents(tmp_path)
    old, young = put(contents, [b"old"]), put(contents, [b"young"])
    age(contents.place(old.sha256), NOW - timedelta(days=2))
    age(contents.place(young.sha256), NOW)
    before = NOW - timedelta(days=1)
    assert list(contents.stale(before)) == [[old.sha256]]
    assert contents.remove(old.sha256, before)
    assert contents.remove(old.sha256, before)
    assert not contents.remove(young.sha256, before)
    assert b"".join(contents.read(young.sha256)) == b"young"


def test_what_is_put_again_is_not_taken_away(tmp_path: Path) -> None:
    contents = DiskContents(tmp_path)
    stored = put(contents, [b"again"])
    age(contents.place(stored.sha256), NOW - timedelta(days=2))
    (told,) = contents.stale(NOW)
    put(contents, [b"again"])
    age(contents.place(stored.sha256), NOW)
    assert not contents.remove(told[0], NOW)
    assert b"".join(contents.read(stored.sha256)) == b"again"


def test_what_a_crash_left_is_put_in_order(tmp_path: Path) -> None:
    contents = DiskContents(tmp_path)
    stored = put(contents, [b"aside"])
    contents.place(stored.sha256).rename(tmp_path / "new" / f"{stored.sha256}.12ab")
    half = contents.sink()
    half.write(LARGE)
    unkept = next(path for path in files(tmp_path / "new") if "." not in path.name)
    age(unkept, NOW - timedelta(days=2))
    list(contents.stale(NOW))
    assert files(tmp_path) == [contents.place(stored.sha256)]
    half.drop()
