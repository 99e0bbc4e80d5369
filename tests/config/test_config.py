"""A wrong setting is named by its key, and everything that is wrong is said at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from hawsepipe.config import TEMPLATE, check, filled, read
from hawsepipe.errors import ConfigError

GOOD = """
[service]
channel = "a.example/log"
[plugins]
load = ["hl7v2"]
[[translators]]
name = "v2"
kind = "hl7v2"
[[feeds]]
name = "adt"
kind = "mllp"
translator = "v2"
"""


def _keys(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "hawsepipe.toml"
    path.write_text(text, encoding="utf-8")
    return [problem.key for problem in check(path)]


def test_a_good_file_has_no_problems_and_its_defaults_are_filled_in(tmp_path: Path) -> None:
    assert _keys(tmp_path, GOOD) == []
    config = read(tmp_path / "hawsepipe.toml")
    assert (config.host, config.port, config.base_url) == ("127.0.0.1", 8080, "http://127.0.0.1:8080/fhir")
    assert config.default_policy.endswith("Policy-deny")
    assert config.data == tmp_path / "hawsepipe-data"
    assert config.feeds[0].settings == {}


def test_the_template_is_good_and_shows_every_key(tmp_path: Path) -> None:
    text = TEMPLATE.read_text(encoding="utf-8")
    assert _keys(tmp_path, text) == []
    from hawsepipe_schemas import load

    schema = load("config.schema.json")
    for table in ("service", "api", "auth", "consent", "plugins"):
        for key in schema["properties"][table]["properties"]:
            assert key in text, f"{table}.{key}"


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (("[plugins]", "[plugin]"), "plugin"),
        (('channel = "a.example/log"', ""), "service.channel"),
        (('channel = "a.example/log"', 'channel = "A b"'), "service.channel"),
        (('load = ["hl7v2"]', 'load = "hl7v2"'), "plugins.load"),
        (('translator = "v2"', 'translator = "v3"'), "feeds[0].translator"),
        (('kind = "mllp"', 'knid = "mllp"'), "feeds[0].knid"),
        (("[plugins]", "[api]\nport = 70000\n[plugins]"), "api.port"),
        (("[plugins]", '[consent]\ndefault_policy = "permit"\n[plugins]'), "consent.default_policy"),
    ],
)
def test_a_wrong_key_is_named(tmp_path: Path, change: tuple[str, str], key: str) -> None:
    assert key in _keys(tmp_path, GOOD.replace(*change))


def test_a_misspelt_key_comes_with_the_likely_one(tmp_path: Path) -> None:
    path = tmp_path / "hawsepipe.toml"
    path.write_text(GOOD.replace("[plugins]", "[api]\nprot = 1\n[plugins]"), encoding="utf-8")
    assert [problem.reason for problem in check(path)] == ["this key is not known; did you mean port?"]


def test_two_feeds_of_one_name_are_refused(tmp_path: Path) -> None:
    again = '[[feeds]]\nname = "adt"\nkind = "mllp"\ntranslator = "v2"\n'
    assert _keys(tmp_path, GOOD + again) == ["feeds[1].name"]


@pytest.mark.parametrize("text", ["[service", "\x00"])
def test_what_is_not_toml_is_an_error_of_the_file(tmp_path: Path, text: str) -> None:
    assert _keys(tmp_path, text) == ["file"]


def test_a_missing_file_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="hawsepipe init"):
        read(tmp_path / "none.toml")


def test_defaults_are_filled_in_below_lists_and_references() -> None:
    schema = {
        "$defs": {"thing": {"type": "object", "properties": {"size": {"default": 3}}}},
        "type": "object",
        "properties": {"things": {"type": "array", "items": {"$ref": "#/$defs/thing"}}},
    }
    assert filled({"things": [{}, {"size": 4}]}, schema) == {"things": [{"size": 3}, {"size": 4}]}
