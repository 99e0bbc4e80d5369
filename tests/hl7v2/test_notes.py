"""Notes (NTE): who wrote them, when, of what kind; whose they are is told where their resources are."""

from __future__ import annotations

from typing import Any

HEAD = "MSH|^~\\&|LAB|GOOD|HP|HUB|20260301083000+0100||ORU^R01|N0001|P|2.5.1"
PID = "PID|1||P1^^^GOOD^MR||DOE^JANE||19800101|F"
ORDER = "OBR|1|O1^CLINIC|F1^LAB|24627-2^CT chest^LN|||20260301080000+0100||||||||||||||||||F"
RESULT = "OBX|1|NM|718-7^Hemoglobin^LN||13.5|g/dL^^UCUM|||||F"


def test_a_note_has_its_author_its_time_its_kind_and_its_code(translate: Any) -> None:
    note = "NTE|1|L|Sample was~hemolysed|RE^Remark^HL70364|D9^HOUSE^GREG|20260301090000+0100|||HEM^Hemolysis^L"
    found = translate((HEAD, PID, ORDER, RESULT, note))
    (made,) = found.one("Observation")["note"]
    assert (made["text"], made["time"]) == ("Sample was\nhemolysed", "2026-03-01T09:00:00+01:00")
    author = next(one for one in found.all("Practitioner") if one["name"][0]["family"] == "HOUSE")
    assert made["authorReference"]["reference"] == f"Practitioner/{author['id']}"
    codes = [one["valueCodeableConcept"]["coding"][0]["code"] for one in made["extension"]]
    assert codes == ["RE", "HEM"]
    assert found.source("Observation", "note[0].authorReference.reference") == {"NTE-5"}


def test_a_coded_note_without_text_says_the_words_of_its_code(translate: Any) -> None:
    found = translate((HEAD, PID, ORDER, RESULT, "NTE|1|L||||||| HEM^Hemolysis^L".replace(" ", "")))
    assert found.one("Observation")["note"][0]["text"] == "Hemolysis"


def test_a_text_where_its_source_belongs_is_taken_for_the_note(translate: Any) -> None:
    found = translate((HEAD, PID, ORDER, RESULT, "NTE|1|Sample was hemolysed"))
    assert found.one("Observation")["note"][0]["text"] == "Sample was hemolysed"
    assert len(found.texts("NTE-2")) == 1
