from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from hawsepipe import ConfigError, signing_key
from hawsepipe.ledger.keys import existing_key


def test_a_key_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "log.key"
    first = signing_key(path)
    assert signing_key(path).private_bytes_raw() == first.private_bytes_raw()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [item.name for item in tmp_path.iterdir()] == ["log.key"]


def test_a_key_that_must_exist_is_not_made(tmp_path: Path) -> None:
    path = tmp_path / "log.key"
    with pytest.raises(ConfigError, match="missing"):
        existing_key(path)
    assert os.listdir(tmp_path) == []
    assert signing_key(path).private_bytes_raw() == existing_key(path).private_bytes_raw()


def test_two_files_hold_two_keys(tmp_path: Path) -> None:
    assert signing_key(tmp_path / "a").private_bytes_raw() != signing_key(tmp_path / "b").private_bytes_raw()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o602, 0o610])
def test_a_key_file_that_others_may_use_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "log.key"
    signing_key(path)
    path.chmod(mode)
    with pytest.raises(ConfigError, match="0600"):
        signing_key(path)


def test_a_file_without_an_ed25519_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "log.key"
    other = generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for content in (b"", b"not a key", other):
        path.write_bytes(content)
        path.chmod(0o600)
        with pytest.raises(ConfigError):
            signing_key(path)
        path.unlink()


def test_what_a_link_leads_to_is_what_is_checked(tmp_path: Path) -> None:
    made = signing_key(tmp_path / "real.key")
    (tmp_path / "link.key").symlink_to(tmp_path / "real.key")
    assert signing_key(tmp_path / "link.key").private_bytes_raw() == made.private_bytes_raw()
    (tmp_path / "real.key").chmod(0o644)
    with pytest.raises(ConfigError):
        signing_key(tmp_path / "link.key")


def test_a_folder_in_the_key_file_s_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.key").mkdir(mode=0o700)
    with pytest.raises(ConfigError, match="regular file"):
        signing_key(tmp_path / "folder.key")


def test_a_folder_that_is_not_there_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        signing_key(tmp_path / "none" / "log.key")


def test_those_who_make_a_key_at_the_same_time_get_the_same_one(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        found = {key.private_bytes_raw() for key in threads.map(signing_key, [tmp_path / "log.key"] * 16)}
    assert len(found) == 1
    assert os.listdir(tmp_path) == ["log.key"]
