"""Sources: directories, files and archives within bounds; nothing outside of what was named is read."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from hawsepipe.errors import ConfigError
from hawsepipe.migrate.sources import Bounds, Source, documents, source


def found(path: Path, tmp_path: Path, bounds: Bounds | None = None) -> list[tuple[str, bytes, str]]:
    spool = tmp_path / "spool"
    spool.mkdir(exist_ok=True)
    told = documents(Source("old", path), spool, bounds or Bounds())
    return [(it.label, b"" if it.refused else it.path.read_bytes(), it.refused) for it in told]


def test_a_source_has_the_name_of_its_file_unless_it_is_given_one(tmp_path: Path) -> None:
    (tmp_path / "clinic a.tar.gz").touch()
    assert source(str(tmp_path / "clinic a.tar.gz")).name == "clinic-a"
    assert source(f"lis={tmp_path}") == Source("lis", tmp_path)
    with pytest.raises(ConfigError, match="does not exist"):
        source("lis=/nowhere")


def test_a_directory_is_read_in_the_order_of_its_names(tmp_path: Path) -> None:
    folder = tmp_path / "old"
    (folder / "b").mkdir(parents=True)
    for name in ("z.ndjson", "b/a.json", ".hidden"):
        (folder / name).write_bytes(name.encode())
    assert [it[0] for it in found(folder, tmp_path)] == ["b/a.json", "z.ndjson"]


def test_a_link_that_leads_out_of_a_directory_is_not_followed(tmp_path: Path) -> None:
    folder = tmp_path / "old"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(b"{}")
    (folder / "in").write_bytes(b"{}")
    (folder / "out").symlink_to(tmp_path / "secret")
    (folder / "within").symlink_to(folder / "in")
    assert [it[0] for it in found(folder, tmp_path)] == ["in", "within"]


def test_archives_are_unpacked_under_names_of_our_own(tmp_path: Path) -> None:
    folder = tmp_path / "old"
    folder.mkdir()
    with tarfile.open(folder / "a.tar.gz", "w:gz") as tar:
        info = tarfile.TarInfo("../../evil.json")
        info.size = 2
        tar.addfile(info, io.BytesIO(b"{}"))
    with zipfile.ZipFile(folder / "b.zip", "w") as packed:
        packed.writestr("x/1.ndjson", b"{1}")
    (folder / "c.ndjson.gz").write_bytes(gzip.compress(b"{2}"))
    assert found(folder, tmp_path) == [
        ("a.tar.gz!../../evil.json", b"{}", ""),
        ("b.zip!x/1.ndjson", b"{1}", ""),
        ("c.ndjson", b"{2}", ""),
    ]
    assert sorted(it.name for it in (tmp_path / "spool").iterdir()) == ["000000000", "000000001", "000000002"]


def test_a_bomb_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(b"\0" * 10_000_000))
    ((label, _, refused),) = found(tmp_path / "bomb.gz", tmp_path, Bounds(ratio=100))
    assert label == "bomb.gz"
    assert "far more" in refused
    ((_, _, refused),) = found(tmp_path / "bomb.gz", tmp_path, Bounds(size=1000, ratio=10_000))
    assert "more than is allowed" in refused
    assert list((tmp_path / "spool").iterdir()) == []


def test_a_damaged_archive_is_told_and_the_rest_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "old"
    folder.mkdir()
    (folder / "a.gz").write_bytes(gzip.compress(b"{}" * 1000)[:-9])
    (folder / "b.json").write_bytes(b"{}")
    told = found(folder, tmp_path)
    assert "cannot be read further" in told[0][2]
    assert told[1] == ("b.json", b"{}", "")
