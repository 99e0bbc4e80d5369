"""The overlay of the document is one: it is read, and a message of that sender comes out as the document says."""

from __future__ import annotations

import re
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from hawsepipe import ConfigError, RawMessage
from hawsepipe.cli import main
from hawsepipe_hl7v2.overlays import read
from hawsepipe_hl7v2.senders import Senders
from hawsepipe_hl7v2.tables import shipped

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "overlays.md").read_text(encoding="utf-8")
SETTINGS, OVERLAY, SYSTEMS, LABORATORY = re.findall(r"^```toml\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
(ERROR,) = re.findall(r"^```\n(overlays: .*)$", TEXT, re.MULTILINE)
PV1 = "PV1|1|I|W1|||||||RED WARD" + "|" * 9 + "V1^^^EAST^VN" + "|" * 25 + "20260301090000"
MESSAGE = "\r".join(
    (
        "MSH|^~\\&|EASTLAB2|EAST|HP|HUB|20260301083000||ADT^A01^ADT_A01|E1|P|2.5.1",
        "EVN|A01|20260301083000",
        "PID|1||MRN1^^^EAST^MR||DOE^JANE||19800101|D^Divers^99SEX",
        PV1,
        "ZPI|window bed|77^^^EAST^PN|12|VEG^Vegetarian^99DIET",
    )
).encode()


def resources(translator: Any, body: bytes) -> dict[str, Any]:
    made = translator.read(RawMessage("adt", datetime(2026, 3, 1, tzinfo=UTC), "application/hl7-v2", body))
    return {change.type: change.resource for change in made.changes}


def test_the_overlay_of_the_document_does_what_it_says(tmp_path: Path) -> None:
    (tmp_path / "eastwing.toml").write_text(OVERLAY, encoding="utf-8")
    found = resources(Senders({}, shipped(), read(tmp_path, shipped())), MESSAGE)
    patient, encounter = found["Patient"], found["Encounter"]
    assert patient["gender"] == "other"
    assert {"system": "urn:oid:2.16.840.1.113883.3.9999.1", "value": "77"}.items() <= patient["identifier"][-1].items()
    assert {"url": "https://east.example/extension/wish", "valueString": "window bed"} in patient["extension"]
    assert encounter["period"]["start"] == "2026-03-01T09:00:00-06:00"
    assert encounter["serviceType"] == {"text": "RED WARD"}
    (diet,) = encounter["hospitalization"]["dietPreference"]
    assert [(coding["system"], coding["code"]) for coding in diet["coding"]] == [
        ("http://terminology.hl7.org/CodeSystem/diet", "vegetarian"),
        ("https://east.example/codes/diet", "VEG"),
    ]


def test_other_senders_are_translated_as_before(tmp_path: Path) -> None:
    (tmp_path / "eastwing.toml").write_text(OVERLAY, encoding="utf-8")
    other = MESSAGE.replace(b"|EASTLAB2|", b"|WEST|")
    assert resources(Senders({}, shipped(), read(tmp_path, shipped())), other) == resources(
        Senders({}, shipped(), ()), other
    )


def test_config_check_names_the_file_the_place_and_the_reason(tmp_path: Path) -> None:
    (tmp_path / "overlays").mkdir()
    config, file = tmp_path / "hawsepipe.toml", tmp_path / "overlays" / "eastwing.toml"
    config.write_text(
        '[service]\nchannel = "test.example/log"\n[plugins]\nload = ["hl7v2"]\n' + SETTINGS, encoding="utf-8"
    )
    file.write_text(OVERLAY, encoding="utf-8")
    found = CliRunner().invoke(main, ["config", "check", "--config", str(config)])
    assert found.exit_code == 0, found.output
    file.write_text(OVERLAY.replace('to = "identifier[]"', 'to = "identifiers[]"'), encoding="utf-8")
    found = CliRunner().invoke(main, ["config", "check", "--config", str(config)])
    assert found.exit_code != 0
    assert ERROR in found.output


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('via = "CX"', 'via = "nothing"', "segments[0].targets[0].rows[1].via: nothing is called nothing"),
        ("America/Chicago", "America/Nowhere", "timezone: no such IANA time zone"),
        ("[codes.AdministrativeSex]", "[codes.Nonsense]", "codes.Nonsense: there is no such code table"),
        ('segment = "ZPI"', 'segment = "zpi"', "segments[0].segment: "),
        ('from = "ZPI-4"', 'from = "PID-4"', "segments[0].targets[1].rows[0].from: "),
        ('joins = "encounter"', "", "segments[0].targets[1]: ZPI has no such target yet"),
        ("sender = {", "sender = [", "not TOML: "),
        ("[tables.EastDiet]", "[tables.PatientClass]", "tables.PatientClass: there is a code table"),
    ],
)
def test_every_mistake_is_told_with_its_place(tmp_path: Path, old: str, new: str, told: str) -> None:
    (tmp_path / "eastwing.toml").write_text(OVERLAY.replace(old, new), encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        Senders({}, shipped(), read(tmp_path, shipped()))
    assert f"eastwing.toml: {told}" in str(caught.value)


def test_what_is_laid_over_changes_the_digest_of_the_rules(tmp_path: Path) -> None:
    digests = {Senders({}, shipped(), ()).rules_digest}
    for text in (OVERLAY, OVERLAY.replace("EASTLAB*", "EASTLAB"), OVERLAY.replace("kosher", "halal")):
        (tmp_path / "a.toml").write_text(text, encoding="utf-8")
        digests.add(Senders({}, shipped(), read(tmp_path, shipped())).rules_digest)
    assert len(digests) == 4


def test_the_systems_of_the_document_tell_patients_visits_and_doctors_apart() -> None:
    systems = tomllib.loads(SYSTEMS)["translators"]["settings"]["systems"]
    visit = "PV1|1|I|W1||||D77^WELBY" + "|" * 12 + "V1^^^KN^VN"
    message = ("MSH|^~\\&|ADT|NORD|HP|HUB|20260301083000+0000||ADT^A01|N1|P|2.5.1", "PID|1||M1^^^KN^MR", visit)
    found = resources(Senders({"systems": systems}, shipped(), ()), "\r".join(message).encode())
    told = [found[kind]["identifier"][0]["system"] for kind in ("Patient", "Encounter", "Practitioner")]
    assert told == list(systems.values())


def test_the_laboratory_of_the_document_maps_its_codes(tmp_path: Path) -> None:
    (tmp_path / "lab.toml").write_text(LABORATORY, encoding="utf-8")
    translator = Senders({}, shipped(), read(tmp_path, shipped()))
    for sent, code in (("CRP^CRP^L", "1988-5"), ("4711^Kalium^99LOK", "2823-3")):
        message = (
            "MSH|^~\\&|EASTLAB|EAST|HP|HUB|20260301083000+0000||ORU^R01|N1|P|2.5.1",
            "PID|1||M1^^^KN^MR",
            "OBR|1|P1|F1|P^Panel^L",
            f"OBX|1|NM|{sent}||5|mg/l|||||F",
        )
        (first, *_) = resources(translator, "\r".join(message).encode())["Observation"]["code"]["coding"]
        assert first == {"system": "http://loinc.org", "code": code}


def test_config_check_warns_of_an_authority_of_one_sender_alone(tmp_path: Path) -> None:
    (tmp_path / "overlays").mkdir()
    config, file = tmp_path / "hawsepipe.toml", tmp_path / "overlays" / "eastwing.toml"
    file.write_text(OVERLAY, encoding="utf-8")
    text = '[service]\nchannel = "test.example/log"\n[plugins]\nload = ["hl7v2"]\n' + SETTINGS
    config.write_text(text, encoding="utf-8")
    found = CliRunner().invoke(main, ["config", "check", "--config", str(config)])
    assert found.exit_code == 0
    assert (
        "warning: translators[0].settings.overlays: eastwing.toml: systems.EAST: if EAST numbers patients"
        in found.output
    )
    assert "systems.99DIET" not in found.output
    config.write_text(text + '[translators.settings.systems]\nEAST = "urn:oid:1.2.3"\n', encoding="utf-8")
    assert "warning" not in CliRunner().invoke(main, ["config", "check", "--config", str(config)]).output


def test_config_check_tells_of_every_part_that_is_wrong(tmp_path: Path) -> None:
    config = tmp_path / "hawsepipe.toml"
    config.write_text(
        '[service]\nchannel = ""\n[api]\nport = 99999\n[plugins]\nload = ["hl7v2"]\n'
        '[[feeds]]\nname = "adt"\nkind = "mlpp"\ntranslator = "hl7v2"\n',
        encoding="utf-8",
    )
    told = CliRunner().invoke(main, ["config", "check", "--config", str(config)]).output
    assert "service.channel: this is empty" in told
    assert "api.port: " in told
    assert "feeds[0].kind: no loaded plugin offers mlpp (did you mean mllp?)" in told


def part(title: str) -> str:
    return TEXT.split(f"## {title}\n")[1].split("\n## ")[0]


def test_the_roles_of_the_document_are_those_that_there_are() -> None:
    told: dict[str, set[str]] = {
        name: set(re.split(r"\s+or\s+", kinds))
        for name, kinds in re.findall(r"`([a-z-]+)`\s+\(([\w\s]+)\)", part("Roles"))
    }
    there: dict[str, set[str]] = {}
    for table in shipped().segments.values():
        for target in table["targets"]:
            if "role" in target:
                there.setdefault(target["role"], set()).add(target["resource"])
    assert told == there


def test_the_converters_of_the_document_make_what_it_says(tmp_path: Path) -> None:
    elements = {"a": "integer", "the": "CodeableConcept"}
    rows = re.findall(r"^\| (`.*`) \| (\w+)(.*) \|$", part("Converters"), re.MULTILINE)[1:]
    assert len(rows) > 15
    for names, kind, rest in rows:
        for name in re.findall(r"`([^`]+)`", names):
            made = "string" if name == "string" else elements.get(kind, kind)
            made = name if made == "integer" else made
            suffix = f"{made[0].upper()}{made[1:]}"
            via = name.replace(":Table", ":AdministrativeSex")
            (tmp_path / "one.toml").write_text(
                'sender = { facility = "EAST" }\n[[segments]]\nsegment = "ZPI"\n[[segments.targets]]\n'
                'resource = "Patient"\njoins = "patient"\n'
                f'rows = [{{ from = "ZPI-1", to = "extension[https://e.example/x].value{suffix}", via = "{via}" }}]\n'
            )
            assert len(read(tmp_path, shipped())) == 1, (name, rest)
