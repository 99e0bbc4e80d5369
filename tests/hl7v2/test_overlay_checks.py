"""Mistakes that people make in overlays: each is told with file, place and reason, in their words."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hawsepipe import ConfigError
from hawsepipe.fhir import definitions
from hawsepipe.fhir.validate import Validator
from hawsepipe_hl7v2.library import translate, translator
from hawsepipe_hl7v2.overlay_checks import faults
from hawsepipe_hl7v2.overlays import read
from hawsepipe_hl7v2.tables import shipped

ROW = """
[[segments]]
segment = "ZPI"
[[segments.targets]]
resource = "Patient"
joins = "patient"
rows = [%s]
"""
AT = "segments[0].targets[0].rows[0]"


def told(tmp_path: Path, text: str) -> list[tuple[str, str]]:
    (tmp_path / "east.toml").write_text(f'sender = {{ facility = "EAST" }}\n{text}', encoding="utf-8")
    try:
        read(tmp_path, shipped())
    except ConfigError as error:
        return [(one.key.removeprefix("overlays: east.toml: "), one.reason) for one in (error, *error.also)]
    return []


@pytest.mark.parametrize(
    ("row", "place", "words"),
    [
        ('{ from = "ZPI-1", to = "identifier", via = "CX" }', "to", "Patient.identifier is a list: write identifier[]"),
        ('{ from = "ZPI-1", to = "birthDate[]", via = "date" }', "to", "Patient.birthDate is no list"),
        ('{ from = "ZPI-1", to = "contact.name", via = "XPN" }', "to", "Patient.contact is a list: write contact[0]"),
        (
            '{ from = "ZPI-1", to = "identifier[]", via = "XPN" }',
            "via",
            "XPN gives a HumanName, and Patient.identifier is a Identifier",
        ),
        (
            '{ from = "ZPI-1", to = "extension[https://e.example/x].valueString", via = "CX" }',
            "via",
            "CX gives a Identifier, and Patient.extension.valueString is a string",
        ),
        ('{ from = "ZPI-1", to = "extension.valueString", via = "string" }', "to", "an extension is named by its url"),
        ('{ from = "ZPI-1", to = "gender", via = "string" }', "via", "allows certain codes only"),
        ('{ from = "ZPI-1", to = "identifiers[]", via = "CX" }', "to", "R4 has no element Patient.identifiers"),
        ('{ from = "ZPI-1", to = "identifier[]", via = "CXX" }', "via", "nothing is called CXX"),
        ('{ from = "ZPI-x", to = "identifier[]", via = "CX" }', "from", "`ZPI-x` is no field"),
        ('{ from = "PID-3", to = "identifier[]", via = "CX" }', "from", "PID-3: a row of ZPI moves a field of ZPI"),
        ('{ fro = "ZPI-1", to = "identifier[]", via = "CX" }', "fro", "did you mean from?"),
        ('{ from = "ZPI-1", to = "identifier[]" }', "via", "this key is required"),
        ('{ from = "ZPI-1", to = "identifier[]", via = 5 }', "via", "`5` is not text"),
    ],
)
def test_a_row_that_cannot_do_what_it_says_is_told(tmp_path: Path, row: str, place: str, words: str) -> None:
    ((key, reason), *_) = told(tmp_path, ROW % row)
    assert key == f"{AT}.{place}"
    assert words in reason
    assert "schema" not in reason


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        (ROW.replace('"patient"', '"patients"') % "", "segments[0].targets[0].joins", "did you mean patient?"),
        (ROW.replace('"Patient"', '"Encounter"') % "", "segments[0].targets[0].joins", "that of a Patient"),
        ('[codes.AdministrativeSex]\nM = "maennlich"\n', "codes.AdministrativeSex.M", "female, male, other, unknown"),
        ('[codes.AdministrativSex]\nM = "male"\n', "codes.AdministrativSex", "did you mean AdministrativeSex?"),
        ('[systems]\nKN = "x y"\n', "systems.KN", "no URI"),
        ('timezon = "Europe/Berlin"\n', "timezon", "did you mean timezone?"),
        ('charset = "klingon"\n', "charset", "none of ascii"),
        (
            ROW % '{ from = "ZPI-1", to = "name[]", via = "XPN" }, { from = "ZPI-1", to = "name[]", via = "XPN" }',
            "segments[0].targets[0].rows[1]",
            "the same move as rows[0]",
        ),
        (
            ROW.replace('segment = "ZPI"', 'segment = "ZPI"\nignored = [{ field = 1, why = "unused" }]')
            % '{ from = "ZPI-1.2", to = "name[].family", via = "string" }',
            "segments[0].ignored[0].field",
            "ZPI-1 is left out here and moved by a row of this file",
        ),
        (ROW % "" + ROW % "", "segments[1].segment", "ZPI is there already"),
        (
            '[tables.Own]\nsystem = "https://e.example/sex"\ncodes = { M = "maennlich" }\n'
            + ROW % '{ from = "ZPI-1", to = "gender", via = "code:Own" }',
            f"{AT}.via",
            "the table Own gives maennlich",
        ),
        (
            '[[segments]]\nsegment = "PV1"\n[[segments.targets]]\nresource = "Encounter"\nrole = "encounter"\n'
            'replace = ["PV1-99"]\n',
            "segments[0].targets[0].replace[0]",
            "no shipped row of this target reads PV1-99",
        ),
    ],
)
def test_a_mistake_is_told_with_its_place(tmp_path: Path, text: str, key: str, words: str) -> None:
    ((found, reason), *_) = told(tmp_path, text)
    assert found == key
    assert words in reason


def test_everything_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    rows = '{ from = "ZPI-1", to = "identifier", via = "CX" }, { from = "ZPI-2", to = "birthdate", via = "date" }'
    (tmp_path / "west.toml").write_text("[sender]\nfacility = 1\n")
    (tmp_path / "X.TOML").write_text("")
    (tmp_path / "x.json").write_text("{")
    (tmp_path / "README.md").write_text("notes")
    found = told(tmp_path, ROW % rows)
    assert [key.rpartition(": ")[2] for key, _ in found] == [
        "X.TOML",
        f"{AT}.to",
        "segments[0].targets[0].rows[1].to",
        "sender.facility",
        "x.json",
    ]
    assert found[0][1] == "not read: an overlay's name ends in .toml"


def test_two_files_of_the_same_content_are_told(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('sender = { facility = "EAST" }\n')
    assert told(tmp_path, "") == [("overlays: east.toml", "the same as a.toml")]


def test_a_directory_that_may_not_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", denied)
    with pytest.raises(ConfigError, match="cannot be read"):
        read(tmp_path, shipped())


def test_values_nested_without_end_are_told(tmp_path: Path) -> None:
    ((key, reason),) = told(tmp_path, "x = " + "[" * 5000 + "\n")
    assert (key, reason) == ("overlays: east.toml", "not TOML: values are nested too deeply")


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "west.toml")
    assert told(tmp_path, "") == [("overlays: west.toml", "the file cannot be read: it is no regular file")]


@pytest.mark.parametrize(
    ("target", "row", "words"),
    [
        ("Patient", '{ from = "ZPI-1", to = "id", via = "string" }', "id is made of what identifies the resource"),
        (
            "Patient",
            '{ from = "ZPI-1", to = "meta.security[].code", via = "string" }',
            "meta.security is what the server",
        ),
        ("Patient", '{ from = "ZPI-1", to = "meta.security[]", via = "CodeableConcept" }', "meta.security is what the"),
        (
            "Patient",
            '{ from = "ZPI-1", to = "extension[javascript:alert(1)].valueString", via = "string" }',
            "a URL of",
        ),
        ("Patient", '{ from = "ZPI-1", to = "extension[wish].valueString", via = "string" }', "a URL of https:, http:"),
        ("Patient", '{ from = "ZPI-1", to = "name[x].text", via = "string" }', "an item of a list is [] or [0]"),
        ("Patient", '{ from = "ZPI-1", to = "name[99999999].text", via = "string" }', "an item of a list is [] or [0]"),
        (
            "Patient",
            '{ from = "ZPI-1", to = "communication[].preferred", via = "boolean" }',
            "without language breaks R4",
        ),
        ("Patient", '{ from = "ZPI-1", to = "link[].other", via = "string" }', "without type breaks R4"),
    ],
)
def test_a_row_that_cannot_give_what_r4_allows_is_told(tmp_path: Path, target: str, row: str, words: str) -> None:
    ((key, reason), *_) = told(tmp_path, ROW.replace("Patient", target) % row)
    assert key == f"{AT}.to"
    assert words in reason


@pytest.mark.parametrize(
    ("row", "element", "expected"),
    [
        ('{ from = "ZPI-1", to = "name[].text", via = "string" }', "name", [{"text": "one"}, {"text": "two"}]),
        (
            '{ from = "ZPI-1", to = "contact[].name.text", via = "string" }',
            "contact",
            [{"name": {"text": "one"}}, {"name": {"text": "two"}}],
        ),
    ],
)
def test_an_element_of_an_appended_item_makes_an_item_for_each_value(
    tmp_path: Path, row: str, element: str, expected: list[object]
) -> None:
    assert told(tmp_path, ROW % row) == []
    body = b"MSH|^~\\&|A|EAST|B|C|20260301083000+0000||ADT^A28|1|P|2.5.1\rPID|1||M1^^^EAST^MR\rZPI|one~two\r"
    translation = translate(body, overlays=tmp_path)
    (patient,) = [change.resource for change in translation.changes if change.type == "Patient"]
    assert patient is not None
    assert patient[element] == expected


def test_what_is_no_number_where_a_number_goes_is_kept_as_text(tmp_path: Path) -> None:
    row = '{ from = "ZPI-1", to = "extension[https://e.example/x].valueDecimal", via = "decimal" }'
    assert told(tmp_path, ROW % row) == []
    body = b"MSH|^~\\&|A|EAST|B|C|20260301083000+0000||ADT^A28|1|P|2.5.1\rPID|1||M1^^^EAST^MR\rZPI|abc\r"
    translation = translate(body, overlays=tmp_path)
    assert [issue.text for issue in translation.issues if issue.location == "ZPI-1"] == [
        "not a number; kept as text beside the element"
    ]
    (patient,) = [change.resource for change in translation.changes if change.type == "Patient"]
    assert "'valueString': 'abc'" in str(patient)
    assert Validator(definitions.load()).check(patient or {}) == ()


@pytest.mark.parametrize(
    ("facility", "words"),
    [
        ("EAST", []),
        ("East", ["no overlay fits this sender; east.toml would but for small and capital letters in MSH-3 or MSH-4"]),
        ("WEST", ["no overlay fits this sender"]),
    ],
)
def test_a_sender_that_no_overlay_fits_is_told(tmp_path: Path, facility: str, words: list[str]) -> None:
    assert told(tmp_path, "") == []
    body = f"MSH|^~\\&|A|{facility}|B|C|20260301083000+0000||ADT^A28|1|P|2.5.1\rPID|1||M1^^^X^MR\r".encode()
    issues = translate(body, overlays=tmp_path).issues
    assert [issue.text for issue in issues if issue.location == "MSH-3"] == words


def test_a_character_set_of_one_sender_alone_is_advised_against(tmp_path: Path) -> None:
    assert told(tmp_path, 'charset = "latin-1"\n') == []
    (advised,) = translator(overlays=tmp_path).advice
    assert advised.key == "overlays: east.toml: charset"
    assert "feeds do not read overlays" in advised.reason
    assert translator(overlays=tmp_path, charset="latin-1").advice == ()


def test_the_shipped_tables_have_no_such_mistake() -> None:
    """What is asked of overlays holds for our own rows, so it asks nothing of others that we do not do."""
    for name, table in shipped().segments.items():
        targets = [
            {"resource": one["resource"], "rows": [row for row in one["rows"] if "to" in row and "from" in row]}
            | {key: one[key] for key in ("role", "joins", "identity") if key in one}
            for one in table["targets"]
        ]
        content = {"sender": {"facility": "X"}, "segments": [{"segment": name, "targets": targets}]}
        assert list(faults(content, shipped())) == []
