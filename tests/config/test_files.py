"""`hawsepipe config check` looks into the files that settings name, and says under which key one does not do."""

from __future__ import annotations

from pathlib import Path

import pytest

from hawsepipe.config import TEMPLATE
from hawsepipe.service.kinds import check
from hawsepipe_conformance.feeds.certificates import Authority

FEEDS = """
[[feeds]]
name = "secure"
kind = "mllp"
translator = "hl7v2"
[feeds.settings]
port = 0
tls = {{ certificate = "{certificate}", key = "{key}" }}
[[feeds]]
name = "web"
kind = "hl7v2-http"
translator = "hl7v2"
[feeds.settings]
tokens = "{tokens}"
[[destinations]]
name = "lab"
kind = "mllp-sender"
feeds = ["adt"]
[destinations.settings]
host = "127.0.0.1"
port = 1
tls = {{ ca = "{ca}" }}
"""


def problems(folder: Path, *, journal: str = "", **files: str) -> list[str]:
    path = folder / "hawsepipe.toml"
    text = TEMPLATE.read_text(encoding="utf-8").replace("[journal]\n", f"[journal]\n{journal}\n")
    path.write_text(text + FEEDS.format(**files), encoding="utf-8")
    return [f"{problem.key}: {problem.reason}" for problem in check(path)]


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    authority = Authority(tmp_path)
    pair, other = authority.issue("feed"), authority.issue("other")
    (tmp_path / "tokens.json").write_text('{"lab": "' + "0" * 64 + '"}')
    (tmp_path / "garbage").write_text("-----BEGIN")
    (tmp_path / "good.key").write_bytes(b"k" * 32)
    (tmp_path / "good.key").chmod(0o600)
    return {
        "certificate": str(pair.certificate),
        "key": str(pair.key),
        "tokens": "tokens.json",
        "ca": str(authority.certificate),
        "other": str(other.key),
    }


def test_files_that_do_are_no_problem_and_nothing_is_left_behind(tmp_path: Path, files: dict[str, str]) -> None:
    before = sorted(tmp_path.iterdir())
    assert problems(tmp_path, journal='key = "a"\nkeys = { a = "good.key" }', **files) == []
    assert sorted(tmp_path.iterdir()) == sorted([*before, tmp_path / "hawsepipe.toml"])


@pytest.mark.parametrize(
    ("name", "file", "key"),
    [
        ("certificate", "nowhere.pem", "feeds[1].settings.tls.certificate"),
        ("certificate", "garbage", "feeds[1].settings.tls."),
        ("key", "other", "feeds[1].settings.tls.key"),
        ("tokens", "nowhere.json", "feeds[2].settings.tokens"),
        ("tokens", "garbage", "feeds[2].settings.tokens"),
        ("ca", "garbage", "destinations[0].settings.tls.ca"),
    ],
)
def test_a_file_that_does_not_is_told_by_its_key(
    tmp_path: Path, files: dict[str, str], name: str, file: str, key: str
) -> None:
    (problem,) = problems(tmp_path, **{**files, name: files.get(file, file)})
    assert problem.startswith(key)


def test_keys_of_the_journal_are_looked_at(tmp_path: Path, files: dict[str, str]) -> None:
    (problem,) = problems(tmp_path, journal='key = "a"\nkeys = { a = "garbage" }', **files)
    assert problem.startswith("journal.keys.a: ")
    (problem,) = problems(tmp_path, journal='key = "b"\nkeys = { a = "good.key" }', **files)
    assert problem == "journal.key: no file of journal.keys has this name"
    (problem,) = problems(tmp_path, journal='key = "a"', **files)
    assert "keys" in problem


def test_a_feed_and_its_translator_read_the_same_bytes_alike(tmp_path: Path) -> None:
    path = tmp_path / "hawsepipe.toml"
    text = (
        '[service]\nchannel = "a.example/log"\n[plugins]\nload = ["hl7v2"]\n'
        '[[translators]]\nname = "hl7v2"\nkind = "hl7v2"\n[translators.settings]\ncharset = "ascii"\n'
        '[[feeds]]\nname = "lab"\nkind = "mllp"\ntranslator = "hl7v2"\n[feeds.settings]\ncharset = "latin-1"\n'
    )
    path.write_text(text)
    (problem,) = check(path)
    assert problem.key.endswith(".settings.charset")
    assert "the feed reads as latin-1 what its translator hl7v2 reads as ascii" in problem.reason
    path.write_text(text.replace('"ascii"', '"latin-1"'))
    assert check(path) == ()


def test_no_two_feeds_listen_on_one_port_nor_one_where_the_api_does(tmp_path: Path) -> None:
    path = tmp_path / "hawsepipe.toml"

    def found(*feeds: str, api: str = "port = 8080") -> list[str]:
        text = (
            '[service]\nchannel = "a.example/log"\n[plugins]\nload = ["hl7v2"]\n'
            f'[api]\n{api}\n[[translators]]\nname = "hl7v2"\nkind = "hl7v2"\n'
        )
        for number, settings in enumerate(feeds):
            text += (
                f'[[feeds]]\nname = "f{number}"\nkind = "mllp"\ntranslator = "hl7v2"\n[feeds.settings]\n{settings}\n'
            )
        path.write_text(text)
        return [str(problem) for problem in check(path)]

    assert found("port = 2601", "port = 2602") == []
    assert found("port = 2601", "port = 2601") == ["feeds[1].settings.port: the feed f0 listens on 2601 already"]
    assert found("port = 2601", 'port = 2601\nhost = "127.0.0.2"') == []
    assert found("port = 2601", 'port = 2601\nhost = "0.0.0.0"') == [
        "feeds[1].settings.port: the feed f0 listens on 2601 already"
    ]
    assert found("port = 0", "port = 0") == []
    assert found("port = 8080") == ["feeds[0].settings.port: the API listens on 8080 already"]
