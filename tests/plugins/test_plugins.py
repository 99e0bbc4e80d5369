"""Plugins are loaded by name, never by presence."""

from __future__ import annotations

import sys
import uuid
from pathlib import Path

import pytest

from hawsepipe import plugins
from hawsepipe.errors import PluginError


def _package(folder: Path, name: str, entries: dict[str, str], source: str) -> None:
    """Lay down an installed package as pip would: a module and its metadata."""
    (folder / f"{name}.py").write_text(source, encoding="utf-8")
    metadata = folder / f"{name}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8")
    lines = "\n".join(f"{entry} = {target}" for entry, target in entries.items())
    (metadata / "entry_points.txt").write_text(f"[hawsepipe]\n{lines}\n", encoding="utf-8")


LEDGER = """
import hawsepipe

def _open(opening):
    raise AssertionError("nothing is opened by loading")

@hawsepipe.hookimpl
def register_ledgers():
    return [hawsepipe.Kind("paper", {"type": "object"}, _open)]
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_the_bundled_plugins_come_through_the_strangers_door() -> None:
    loaded = plugins.load(["hl7v2", "ledger-log"])
    assert set(loaded.feeds) == {"mllp", "hl7v2-http", "hl7v2-files"}
    assert set(loaded.translators) == {"hl7v2"}
    assert set(loaded.ledgers) == {"log"}
    assert loaded.providers["feed:mllp"] == "hl7v2"


def test_a_plugin_that_lacks_a_package_says_how_to_install_it(site: Path) -> None:
    _package(site, "paper_x", {"paper": "paper_x [press]"}, "import no_such_printing_press")
    with pytest.raises(
        PluginError, match=r"needs the Python package no_such_printing_press; pip install 'paper_x\[press\]'"
    ):
        plugins.load(["paper"])


def test_a_plugin_does_not_raise_the_recursion_limit_of_the_process(site: Path) -> None:
    _package(site, "paper_y", {"paper": "paper_y"}, f"import sys\nsys.setrecursionlimit(99_999)\n{LEDGER}")
    before = sys.getrecursionlimit()
    plugins.load(["paper"])
    assert sys.getrecursionlimit() == before


def test_an_installed_plugin_that_is_not_named_is_not_imported(site: Path) -> None:
    _package(site, "paper_a", {"paper": "paper_a"}, "raise RuntimeError('imported')")
    assert "paper" in [point.name for point in plugins.installed()]
    assert "paper" not in plugins.load(["ledger-log"]).ledgers


def test_a_named_plugin_is_loaded(site: Path) -> None:
    _package(site, "paper_b", {"paper": "paper_b"}, LEDGER)
    assert set(plugins.load(["paper"]).ledgers) == {"paper"}


def test_a_misspelt_name_stops_the_start() -> None:
    with pytest.raises(PluginError, match="papper is not installed"):
        plugins.load(["papper"])


def test_a_name_offered_by_two_packages_stops_the_start(site: Path) -> None:
    _package(site, "paper_c", {"paper": "paper_c"}, LEDGER)
    _package(site, "paper_d", {"paper": "paper_d"}, LEDGER)
    with pytest.raises(PluginError, match="several packages: paper_c, paper_d"):
        plugins.load(["paper"])


def test_a_kind_offered_twice_stops_the_start(site: Path) -> None:
    _package(site, "paper_e", {"one": "paper_e", "two": "paper_f"}, LEDGER)
    (site / "paper_f.py").write_text(LEDGER, encoding="utf-8")
    with pytest.raises(PluginError, match="ledger kind paper comes from two plugins: one and two"):
        plugins.load(["one", "two"])


def test_a_plugin_named_twice_stops_the_start() -> None:
    with pytest.raises(PluginError, match="named twice"):
        plugins.load(["ledger-log", "ledger-log"])


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("raise RuntimeError('secret words')", "cannot be imported"),
        (LEDGER.replace("register_ledgers", "register_ledger"), "implements a hook that does not exist"),
        (LEDGER.replace("return [", "return ['paper'] + ["), "not a Kind"),
        (LEDGER.replace("return [", "raise ValueError('secret words')\n    return ["), "register_ledgers failed"),
        (LEDGER.replace('{"type": "object"}', '{"type": "thing"}'), "not a JSON Schema"),
    ],
)
def test_a_plugin_that_breaks_the_contract_stops_the_start(site: Path, source: str, message: str) -> None:
    name = f"paper_{uuid.uuid4().hex}"
    _package(site, name, {"paper": name}, source)
    with pytest.raises(PluginError, match=message) as caught:
        plugins.load(["paper"])
    assert "secret words" not in str(caught.value)
