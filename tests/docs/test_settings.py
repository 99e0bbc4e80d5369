"""Every setting of a kind is documented, with its default."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from hawsepipe import Kind
from hawsepipe_dicom import feed as dicom_feed
from hawsepipe_dicom import translator as dicom
from hawsepipe_fhir import polling
from hawsepipe_fhir import translator as fhir_translator
from hawsepipe_fhir import web as fhir_web
from hawsepipe_hl7v2 import folder, message, mllp, outbound, senders, web
from hawsepipe_hl7v2.settings import MESSAGES
from hawsepipe_iomt import feed as mqtt
from hawsepipe_iomt import translator as devices
from hawsepipe_ledger_evm import plugin as evm_plugin
from hawsepipe_ledger_log import plugin as log_plugin
from hawsepipe_ledger_nats import plugin as nats_plugin
from hawsepipe_ledger_postgres import plugin as postgres_plugin

LEDGER_PLUGINS = (evm_plugin, log_plugin, nats_plugin, postgres_plugin)
DOCS = Path(__file__).resolve().parents[2] / "docs"
TEXT = (DOCS / "settings.md").read_text(encoding="utf-8")
LEDGERS = (DOCS / "ledgers.md").read_text(encoding="utf-8")
SECTIONS = {
    title: section
    for text in (TEXT, LEDGERS)
    for title, section in re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
}
KINDS: dict[str, Kind[Any]] = {
    "Feed kind `mllp`": mllp.KIND,
    "Feed kind `hl7v2-http`": web.KIND,
    "Feed kind `hl7v2-files`": folder.KIND,
    "Feed kind `fhir-http`": fhir_web.KIND,
    "Feed kind `fhir-poll`": polling.KIND,
    "Feed kind `mqtt`": mqtt.KIND,
    "Feed kind `dicom-changes`": dicom_feed.KIND,
    "Translator kind `devices`": devices.KIND,
    "Translator kind `dicom`": dicom.KIND,
    "Destination kind `mllp-sender`": outbound.KIND,
    "Translator kind `hl7v2`": senders.KIND,
    "Translator kind `fhir`": fhir_translator.KIND,
    **{f"Ledger kind `{kind.name}`": kind for module in LEDGER_PLUGINS for kind in module.register_ledgers()},
}


def events_told(messages: Iterable[str]) -> str:
    """Return the list of types and their events as the document has it."""
    types: dict[str, list[str]] = {}
    for name in messages:
        type_, _, trigger = name.partition("^")
        types.setdefault(type_, []).append(trigger)
    return "".join(f"* {type_}: {', '.join(triggers)}\n" for type_, triggers in types.items())


def properties(schema: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, part in schema.get("properties", {}).items():
        yield prefix + name, part
        yield from properties(part, f"{prefix}{name}.")


@pytest.mark.parametrize("title", KINDS)
def test_every_setting_of_a_kind_has_a_row_and_no_row_is_left_over(title: str) -> None:
    rows = re.findall(r"^\| `([\w.]+)` \|", SECTIONS[title], re.MULTILINE)
    assert rows == [name for name, _ in properties(KINDS[title].config_schema)]


@pytest.mark.parametrize("title", KINDS)
def test_every_plain_default_is_told(title: str) -> None:
    rows = dict(re.findall(r"^\| `([\w.]+)` \| (.*?) \|", SECTIONS[title], re.MULTILINE))
    for name, part in properties(KINDS[title].config_schema):
        default = part.get("default")
        if isinstance(default, str | int | float):
            assert rows[name].strip("`") == (str(default).lower() if isinstance(default, bool) else str(default))


def test_the_events_that_have_a_map_are_told() -> None:
    told = re.search(r"<!-- events: begin -->\n(.*?)<!-- events: end -->", TEXT, re.DOTALL)
    assert told is not None
    assert told[1] == events_told(MESSAGES)


def test_the_bounds_of_a_message_are_told() -> None:
    for bound in (message.MAX_SEGMENTS, message.MAX_FIELDS, message.MAX_REPETITIONS, message.MAX_PARTS):
        assert f"{bound:,}" in TEXT
